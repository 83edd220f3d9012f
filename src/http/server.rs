//! `embedder serve`: from settings to a running server, and its end in good order.
//!
//! The listeners are there first: while collections and model are loaded, probes say so. At SIGTERM `/readyz` says no and
//! serving goes on for a while, so that load balancers turn away first; then requests under way have a time to end; jobs
//! are taken up by the next server. A second signal ends at once.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::app::{App, State};
use super::listener::{Limits, Listener, Stop, StopPhase};
use super::mcp::Tools;
use super::measure::{Connections, RouteLabels};
use super::quotas::Quotas;
use super::tls::TlsReloader;
use super::{labels, openapi, reference};
use crate::clock::now_ms;
use crate::config::Config;
use crate::engine::serving::{Service, health as dependencies};
use crate::error::{Error, ErrorCode, Result};
use crate::observability::health::{HealthChecker, StartStep};
use crate::observability::metrics::Metrics;
use crate::outbound::daemon::FILE_NAME;

mod descriptors;
mod exposure;
mod signals;

use exposure::check_exposure;
use signals::{Asked, Signals};

/// How often the files of the certificate are looked at.
const TLS_EVERY: Duration = Duration::from_secs(10);

/// Connections of the ops listener: probes and scrapes come one at a time.
const OPS_CONNECTIONS_MAX: usize = 64;

/// How often is looked whether anybody uses the server.
const IDLE_EVERY: Duration = Duration::from_secs(1);

/// How often the runtime shows that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How the server is asked to run, beyond the settings.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether nobody is asked for a key; on loopback alone.
    pub no_auth: bool,
    /// Whether a program starts it for itself and others: a newer one may then take its place.
    pub is_for_clients: bool,
    /// What answers the Model Context Protocol in place of our own tools: for programs that bring their own.
    pub tools: Option<Tools>,
}

/// What commands need to find the server.
#[derive(Debug, Serialize, Deserialize)]
struct ServerFile {
    pid: u32,
    url: String,
    version: String,
    started_ms: u64,
    tls_cert: Option<PathBuf>,
    is_for_clients: bool,
}

/// Serves until the process is asked to end.
///
/// # Errors
/// Settings that are not safe; an address that is in use; a locked data directory; a damaged store.
pub fn serve(config: Config, options: Options) -> Result<()> {
    check_exposure(&config, &options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("http")
        .build()
        .map_err(|error| Error::io("start", "the runtime", error))?;
    // Probes and metrics have a thread of their own, so that they answer whatever the others do.
    let ops_runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start", "the runtime", error))?;
    let result = Server::start(config, &options, &runtime, ops_runtime)
        .and_then(|server| server.run(&runtime));
    // What still blocks then holds nothing that could be lost.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A server that listens.
struct Server {
    service: Arc<Service>,
    app: App,
    health: Arc<HealthChecker>,
    phase: watch::Sender<StopPhase>,
    /// Of the ops listener: probes and metrics are answered until the end.
    ops_phase: watch::Sender<StopPhase>,
    listening: tokio::task::JoinHandle<()>,
    ops: Option<std::thread::JoinHandle<()>>,
    file: PathBuf,
}

impl Server {
    fn start(
        config: Config,
        options: &Options,
        runtime: &Runtime,
        ops_runtime: Runtime,
    ) -> Result<Server> {
        let now = Instant::now();
        let version = env!("CARGO_PKG_VERSION");
        let metrics = Arc::new(Metrics::new(&labels(), version));
        let tls = match &config.server.tls {
            Some((cert, key)) => Some(Arc::new(TlsReloader::load(cert, key)?)),
            None => None,
        };
        let (listen, ops_listen) = (config.server.listen, config.server.ops_listen);
        let service = {
            // Calls to a provider are made there.
            let _entered = runtime.enter();
            Service::open(config, Arc::clone(&metrics))?
        };
        let health = Arc::new(HealthChecker::new(version, Arc::clone(&metrics), now));
        health.set_step(StartStep::Indexes);
        let (phase, stop) = Stop::channel();
        let (ops_phase, ops_stop) = Stop::channel();
        let document = openapi();
        let openapi = Bytes::from(document.to_string());
        let docs = Bytes::from(reference::render(&document));
        let rate_limits = Arc::new(Quotas::new(&service.config().rate_limits));
        let app = |is_ops| {
            App::new(State {
                service: Arc::clone(&service),
                health: Arc::clone(&health),
                quotas: Arc::clone(&rate_limits),
                no_auth: options.no_auth,
                is_ops,
                docs: docs.clone(),
                openapi: openapi.clone(),
                labels: Arc::new(RouteLabels::new(&metrics)),
                tools: options.tools.clone(),
            })
        };
        let limits = Arc::new(limits(service.config()));
        let observer = Arc::new(Connections(Arc::clone(&metrics)));
        let listener = {
            let _entered = runtime.enter();
            bind(listen)?
        };
        let address = listener
            .local_addr()
            .map_err(|error| Error::io("read the address of", "the listener", error))?;
        let main = app(false);
        let router = super::service(&main);
        let listening = runtime.spawn(listener.run(
            router,
            Arc::clone(&limits),
            tls.clone(),
            Arc::clone(&observer) as _,
            stop.clone(),
        ));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let mut lines = vec![format!("listening on {url}")];
        let ops = match ops_listen {
            None => None,
            Some(ops_listen) => {
                let listener = {
                    let _entered = ops_runtime.enter();
                    bind(ops_listen)?
                };
                let address = listener
                    .local_addr()
                    .map_err(|error| Error::io("read the address of", "the listener", error))?;
                lines.push(format!("ops on http://{address}"));
                let router = super::service(&app(true));
                let limits = Arc::new(Limits {
                    connections_max: limits.connections_max.min(OPS_CONNECTIONS_MAX),
                    ..*limits
                });
                let running = listener.run(router, limits, None, observer, ops_stop);
                let thread = std::thread::Builder::new()
                    .name("ops".to_owned())
                    .spawn(move || ops_runtime.block_on(running))
                    .map_err(|error| Error::io("start", "the ops listener", error))?;
                Some(thread)
            }
        };
        if let Some(tls) = tls {
            runtime.spawn(keep_certificate(tls));
        }
        runtime.spawn(beat(Arc::clone(&health)));
        let file = service.config().data_dir.join(FILE_NAME);
        write_server_file(&file, &url, service.config(), options)?;
        announce(&lines)?;
        if options.no_auth {
            tracing::warn!(
                "Nobody is asked for a key: every program of this machine may do everything"
            );
        }
        Ok(Server {
            service,
            app: main,
            health,
            phase,
            ops_phase,
            listening,
            ops,
            file,
        })
    }

    /// Loads what is to be served, and serves until the end.
    fn run(self, runtime: &Runtime) -> Result<()> {
        let warming = {
            let (service, health) = (Arc::clone(&self.service), Arc::clone(&self.health));
            runtime.spawn_blocking(move || {
                let started = Instant::now();
                service.warm()?;
                let data_dir = service.config().data_dir.clone();
                let interval = service.config().resilience.health_interval;
                health.start(dependencies::checks(&service), data_dir, interval, jitter());
                health.set_serving();
                tracing::info!(elapsed_ms = started.elapsed().as_secs_f64() * 1e3, "Ready");
                Ok::<(), Error>(())
            })
        };
        let mut signals = {
            let _entered = runtime.enter();
            Signals::new()?
        };
        let result = runtime.block_on(self.until_end(&mut signals, warming));
        // Closing may take its time as well.
        runtime.spawn(end_at_once(signals, self.file.clone()));
        self.health.stop();
        self.service.close();
        self.ops_phase.send_replace(StopPhase::Ending);
        let _ = std::fs::remove_file(&self.file);
        if let Some(ops) = self.ops {
            let _ = ops.join();
        }
        result
    }

    /// Waits for the end, and lets requests end first.
    async fn until_end(
        &self,
        signals: &mut Signals,
        warming: tokio::task::JoinHandle<Result<()>>,
    ) -> Result<()> {
        tokio::select! {
            first = signals.next() => {
                let drained = self.drain(first);
                tokio::select! {
                    () = drained => {}
                    _ = signals.next() => exit_at_once(&self.file),
                }
                Ok(())
            }
            () = self.until_idle() => {
                tracing::info!("Ending: nobody has used the server for long");
                let drained = self.drain(Asked::ByNobody);
                tokio::select! {
                    () = drained => {}
                    _ = signals.next() => exit_at_once(&self.file),
                }
                Ok(())
            }
            failed = failure(warming) => {
                self.phase.send_replace(StopPhase::Ending);
                Err(failed)
            }
        }
    }

    /// Waits until nobody has used the server for as long as the settings say; for ever where they say nothing.
    async fn until_idle(&self) {
        let Some(idle_exit) = self.service.config().server.idle_exit else {
            return std::future::pending().await;
        };
        let activity = self.app.activity();
        activity.note(self.service.clock.now());
        let mut every = tokio::time::interval(idle_exit.min(IDLE_EVERY));
        loop {
            every.tick().await;
            let now = self.service.clock.now();
            if self.service.take_activity() {
                activity.note(now);
            } else if activity.idle_for(now) >= idle_exit {
                return;
            }
        }
    }

    async fn drain(&self, first: Asked) {
        let server = &self.service.config().server;
        self.health.set_draining();
        let notice = match first {
            Asked::Politely => server.notice,
            // Somebody sits before it: no load balancer has to be told.
            Asked::FromTerminal | Asked::ByNobody => Duration::ZERO,
        };
        tracing::info!("Ending: requests under way are answered");
        if first == Asked::FromTerminal {
            let _ = writeln!(io::stderr(), "ending; Ctrl-C again ends at once");
        }
        tokio::time::sleep(notice).await;
        // Streams end by themselves, so that nobody waits for them.
        self.service.drain();
        self.phase.send_replace(StopPhase::Draining);
        let is_drained = async {
            while !self.listening.is_finished() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(server.drain, is_drained)
            .await
            .is_err()
        {
            tracing::warn!("Some requests did not end in time");
        }
        self.phase.send_replace(StopPhase::Ending);
    }
}

/// Ends the process at the next signal.
async fn end_at_once(mut signals: Signals, file: PathBuf) {
    signals.next().await;
    exit_at_once(&file);
}

/// Ends the process. What is not on disk was not acknowledged.
fn exit_at_once(file: &Path) {
    tracing::warn!("Ended at once by a second signal");
    let _ = std::fs::remove_file(file);
    std::process::exit(i32::from(ErrorCode::Interrupted.exit_code()));
}

/// Returns when loading has failed; never when it went well.
async fn failure(warming: tokio::task::JoinHandle<Result<()>>) -> Error {
    match warming.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(_) => Error::Internal("loading panicked".to_owned()),
    }
}

/// Shows that the runtime runs tasks.
async fn beat(health: Arc<HealthChecker>) {
    let mut every = tokio::time::interval(BEAT_EVERY);
    loop {
        every.tick().await;
        health.watchdog().beat(Instant::now());
    }
}

/// Takes over a certificate that was renewed.
async fn keep_certificate(tls: Arc<TlsReloader>) {
    let mut every = tokio::time::interval(TLS_EVERY);
    let mut told = String::new();
    loop {
        every.tick().await;
        let tls = Arc::clone(&tls);
        let reloaded = tokio::task::spawn_blocking(move || tls.reload_if_changed()).await;
        match reloaded {
            Ok(Ok(true)) => tracing::info!("Took over a new certificate"),
            Ok(Ok(false)) => told.clear(),
            Ok(Err(error)) => {
                // The same mistake is told once.
                let text = error.with_remedy();
                if text != told {
                    tracing::error!(
                        "The new certificate cannot be used, the old one stays: {text}"
                    );
                    told = text;
                }
            }
            Err(_) => return,
        }
    }
}

fn bind(address: SocketAddr) -> Result<Listener> {
    Listener::bind(address).map_err(|error| {
        Error::Reported {
            code: ErrorCode::Io,
            message: format!("cannot listen on {address}: {error}"),
            remedy: Some(
                "end the other program, or listen elsewhere: --listen ADDRESS:PORT and --ops-listen ADDRESS:PORT|off"
                    .to_owned(),
            ),
        }
    })
}

fn limits(config: &Config) -> Limits {
    Limits {
        connections_max: descriptors::room_for(config.server.connections_max),
        connections_per_address_max: config.server.connections_per_address_max,
        ..Limits::default()
    }
}

/// Writes the file by which commands find the server: whole or not at all, for the owner's eyes.
fn write_server_file(path: &Path, url: &str, config: &Config, options: &Options) -> Result<()> {
    let file = ServerFile {
        pid: std::process::id(),
        url: url.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: now_ms(),
        // As commands in other folders can read it.
        tls_cert: config
            .server
            .tls
            .as_ref()
            .and_then(|(cert, _)| std::path::absolute(cert).ok()),
        is_for_clients: options.is_for_clients,
    };
    let text = serde_json::to_vec(&file).map_err(|error| Error::Internal(error.to_string()))?;
    let write = || -> io::Result<()> {
        // Made with mode 0600.
        let mut temporary = tempfile::NamedTempFile::new_in(&config.data_dir)?;
        temporary.write_all(&text)?;
        temporary.persist(path)?;
        Ok(())
    };
    write().map_err(|error| Error::io("write", path, error))
}

/// Says on standard output where the server listens, for people and for scripts.
fn announce(lines: &[String]) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = lines
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush());
    match written {
        // Nobody listens; the server serves all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Error::io("write to", "standard output", error)),
    }
}

/// Returns random numbers from 0 to 1, so that servers do not look at shared disks together.
fn jitter() -> impl FnMut() -> f64 + Send + 'static {
    || {
        let mut bytes = [0; 4];
        crate::engine::access::system_random(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    }
}
