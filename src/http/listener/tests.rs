//! The accept loop over real sockets; what a single connection does is tested beside it.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::*;

/// Far longer than anything here takes, on any machine.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Recorder {
    opened: AtomicUsize,
    closed: Mutex<Vec<CloseReason>>,
    refused: Mutex<Vec<RefuseReason>>,
}

impl Observer for Recorder {
    fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self, reason: CloseReason) {
        self.closed.lock().unwrap().push(reason);
    }

    fn refused(&self, reason: RefuseReason) {
        self.refused.lock().unwrap().push(reason);
    }
}

struct Server {
    address: SocketAddr,
    recorder: Arc<Recorder>,
    phase: tokio::sync::watch::Sender<StopPhase>,
    run: JoinHandle<()>,
}

impl Server {
    fn start(limits: Limits, tls: Option<Arc<TlsReloader>>) -> Server {
        let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let recorder = Arc::new(Recorder::default());
        let (phase, stop) = Stop::channel();
        let observer: Arc<dyn Observer> = Arc::clone(&recorder) as Arc<dyn Observer>;
        let run = tokio::spawn(listener.run(router(), Arc::new(limits), tls, observer, stop));
        Server {
            address,
            recorder,
            phase,
            run,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn closed(&self) -> Vec<CloseReason> {
        self.recorder.closed.lock().unwrap().clone()
    }

    fn refused(&self) -> Vec<RefuseReason> {
        self.recorder.refused.lock().unwrap().clone()
    }
}

fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|Extension(peer): Extension<Peer>| async move {
                format!("{} tls={}!", peer.address, peer.is_tls)
            }),
        )
        .route(
            "/endless",
            get(|| async { Body::from_stream(stream::pending::<Result<Bytes, io::Error>>()) }),
        )
}

/// Sends a request and reads up to the end of the answer's body.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut text = Vec::new();
    while text.last() != Some(&b'!') {
        text.push(timeout(DEADLINE, stream.read_u8()).await??);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    text
}

async fn eventually(mut is_true: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !is_true().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, polled).await.unwrap();
}

async fn check_refusal(limits: Limits, reason: RefuseReason) {
    let server = Server::start(limits, None);
    let mut first = server.connect().await;
    ask(&mut first).await.unwrap();

    let mut second = server.connect().await;
    let text = rest(&mut second).await;
    assert_eq!(text.as_bytes(), RawAnswer::Overloaded.bytes());
    assert_eq!(server.refused(), [reason]);
    assert_eq!(server.recorder.opened.load(Ordering::Relaxed), 1);

    // The first is served as before, and its place is free when it is gone.
    ask(&mut first).await.unwrap();
    drop(first);
    eventually(async || ask(&mut server.connect().await).await.is_ok()).await;
    assert_eq!(server.closed()[0], CloseReason::Client);
}

#[tokio::test]
async fn one_connection_too_many_is_refused_at_once() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    check_refusal(limits, RefuseReason::Total).await;
}

#[tokio::test]
async fn one_connection_too_many_of_an_address_is_refused_at_once() {
    let limits = Limits {
        connections_per_address_max: 1,
        ..Limits::default()
    };
    check_refusal(limits, RefuseReason::Address).await;
}

#[tokio::test]
async fn requests_know_their_peer() {
    let server = Server::start(Limits::default(), None);
    let mut stream = server.connect().await;
    let address = stream.local_addr().unwrap();
    let text = ask(&mut stream).await.unwrap();
    assert!(text.ends_with(&format!("{address} tls=false!")), "{text}");
}

#[tokio::test]
async fn draining_ends_the_run_when_the_last_connection_has_ended() {
    let server = Server::start(Limits::default(), None);
    let mut idle = server.connect().await;
    ask(&mut idle).await.unwrap();
    server.phase.send_replace(StopPhase::Draining);
    assert_eq!(rest(&mut idle).await, "");
    timeout(DEADLINE, server.run).await.unwrap().unwrap();
    let recorder = server.recorder;
    assert_eq!(*recorder.closed.lock().unwrap(), [CloseReason::Shutdown]);
    TcpStream::connect(server.address).await.unwrap_err();
}

#[tokio::test]
async fn ending_drops_what_does_not_end() {
    let server = Server::start(Limits::default(), None);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /endless HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    // The answer has begun.
    assert_eq!(busy.read_u8().await.unwrap(), b'H');
    server.phase.send_replace(StopPhase::Draining);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!server.run.is_finished());
    server.phase.send_replace(StopPhase::Ending);
    timeout(DEADLINE, server.run).await.unwrap().unwrap();
    let recorder = server.recorder;
    assert_eq!(*recorder.closed.lock().unwrap(), [CloseReason::Shutdown]);
}

#[tokio::test]
async fn a_server_whose_owner_is_gone_ends() {
    let server = Server::start(Limits::default(), None);
    drop(server.phase);
    timeout(DEADLINE, server.run).await.unwrap().unwrap();
}

#[tokio::test]
async fn tls_is_spoken_where_there_is_a_certificate_and_nothing_else() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let tls = Arc::new(TlsReloader::load(certificate, key).unwrap());
    let limits = Limits {
        handshake: Duration::from_millis(500),
        connections_max: 1,
        ..Limits::default()
    };
    let server = Server::start(limits, Some(tls));

    // A client that says nothing, and one that speaks without TLS.
    let mut silent = server.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    eventually(async || server.closed() == [CloseReason::Tls]).await;
    let mut plain = server.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    eventually(async || server.closed() == [CloseReason::Tls; 2]).await;

    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = server.connect().await;
    let mut stream = connector.connect(name, stream).await.unwrap();
    let text = ask(&mut stream).await.unwrap();
    assert!(text.ends_with(" tls=true!"), "{text}");

    // No answer without TLS to one that has no place.
    let mut refused = server.connect().await;
    assert_eq!(rest(&mut refused).await, "");
    assert_eq!(server.refused(), [RefuseReason::Total]);
}
