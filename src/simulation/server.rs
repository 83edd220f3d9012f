//! The server of a simulation: its data directory, what is around it, and its time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use tempfile::TempDir;

use super::documents::Documents;
use super::network::{DIMENSIONS, Network};
use super::requests::{COLLECTIONS, Plan, Report};
use crate::config::Config;
use crate::engine::serving::Service;
use crate::engine::serving::simulated::{Background, Pace, World};
use crate::engine::serving::workers::Workers;
use crate::observability::health::HealthChecker;
use crate::observability::metrics::Metrics;
use crate::store::CollectionKind;

/// A model of a few kilobytes.
const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/embedder-inference/tests/fixtures/tiny-bert"
);

/// The server.
pub(super) struct Server {
    running: Option<Running>,
    world: Arc<World>,
    network: Arc<Network>,
    dir: TempDir,
    began: tokio::time::Instant,
}

struct Running {
    service: Arc<Service>,
    router: Router,
    background: Background,
}

impl Server {
    /// How long things take when all is well.
    pub(super) const WELL: Pace = Pace {
        work: Duration::from_millis(4),
        encoding: Duration::from_millis(8),
    };

    /// Starts one with two collections: one with the vectors of the model, one with those of the provider.
    pub(super) fn start(seed: u64) -> Server {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let network = Arc::new(Network::default());
        let began = runtime.block_on(async { tokio::time::Instant::now() });
        let transport = Arc::clone(&network) as _;
        let mut server = Server {
            running: None,
            world: Arc::new(World::new(runtime, transport, seed)),
            network,
            dir: new_dir(),
            began,
        };
        server.set_pace(Server::WELL);
        server.open();
        let service = &server.running().service;
        let [local, remote] = COLLECTIONS;
        service
            .create_collection(local, CollectionKind::Documents, None)
            .unwrap();
        service
            .create_remote_collection(remote, CollectionKind::Documents)
            .unwrap();
        server
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn set_pace(&self, pace: Pace) {
        self.world.set_pace(pace);
    }

    /// Returns how much time has passed.
    pub(super) fn now(&self) -> Duration {
        let now = self
            .world
            .runtime
            .block_on(async { tokio::time::Instant::now() });
        now - self.began
    }

    /// Sends requests, and looks at the answers.
    pub(super) fn round(&mut self, plan: Plan, documents: &mut Documents, report: &mut Report) {
        let running = self.running();
        let service = &running.service;
        let answers = self.world.runtime.block_on(async {
            let requests = plan
                .requests
                .into_iter()
                .map(|request| request.send(&running.router));
            tokio::select! {
                biased;
                answers = join_all(requests) => answers,
                () = self.world.encode(service) => unreachable!("it goes on for ever"),
            }
        });
        let now = self.now();
        for answer in answers {
            answer.judge(documents, now, report);
        }
        let overfull = service.overfull(false);
        assert!(overfull.is_empty(), "{overfull:?}");
    }

    /// Lets a second pass, with what goes on behind requests.
    pub(super) fn pass_a_second(&mut self) {
        let second = Duration::from_secs(1);
        let runtime = &self.world.runtime;
        runtime.block_on(async { tokio::time::sleep(second).await });
        let _entered = self.world.runtime.enter();
        let running = self.running.as_mut().unwrap();
        running.background.step(&running.service);
    }

    /// Waits until nothing is amiss any more.
    pub(super) fn wait_for_full_service(&mut self, most: Duration) -> Duration {
        let begin = self.now();
        loop {
            self.pass_a_second();
            let took = self.now() - begin;
            let _entered = self.world.runtime.enter();
            let service = &self.running().service;
            let lacks = [service.lacks(), service.overfull(true)].concat();
            if lacks.is_empty() {
                return took;
            }
            assert!(took < most, "after {took:?}: {lacks:?}");
        }
    }

    /// Kills it, and starts another with what was on disk at that moment.
    pub(super) fn kill(&mut self) {
        let copy = new_dir();
        copy_all(self.dir.path(), copy.path());
        // What it does while it ends is not seen by the next.
        self.running = None;
        self.dir = copy;
        self.open();
    }

    /// Ends it in good order, and starts another.
    pub(super) fn restart(&mut self) {
        let running = self.running.take().unwrap();
        running.service.close();
        drop(running);
        self.open();
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn open(&mut self) {
        let _entered = self.world.runtime.enter();
        let metrics = Arc::new(Metrics::new(&crate::http::labels(), "test"));
        let workers = Workers::Simulated(Arc::clone(&self.world));
        let config = config(self.dir.path());
        let service = Service::open_with(config, Arc::clone(&metrics), workers).unwrap();
        service.warm().unwrap();
        let health = HealthChecker::new("test", metrics, crate::clock::now());
        health.set_serving();
        self.running = Some(Running {
            router: crate::http::without_listener(&service, Arc::new(health)),
            background: Background::of(&service),
            service,
        });
    }
}

fn config(data_dir: &Path) -> Config {
    let dimensions = DIMENSIONS.to_string();
    let flags = [
        ("data_dir", data_dir.to_str().unwrap()),
        ("model", MODEL),
        ("threads", "1"),
        ("log", "off"),
        ("embedding.provider", "openai"),
        ("embedding.url", "http://127.0.0.1:1/v1"),
        ("embedding.model", "made-up"),
        ("embedding.dimensions", &dimensions),
        // As long as it is open at first: half a minute.
        ("breaker.open_s_max", "30"),
    ];
    let flags: BTreeMap<String, String> = flags
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Config::load(flags, &BTreeMap::new()).unwrap()
}

/// Makes a folder in memory, where there is such a place: thousands of servers start there.
fn new_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let entries: Vec<PathBuf> = fs::read_dir(from)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for entry in entries {
        let copy = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy_all(&entry, &copy);
        } else {
            // A merge in the background may have taken a file away meanwhile.
            let _ = fs::copy(&entry, &copy);
        }
    }
}
