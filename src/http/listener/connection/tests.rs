//! Connections over a pipe in memory, with paused time: every deadline is exact and no test waits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// What a pipe holds that is never full.
const WIDE: usize = 1024 * 1024;

/// More than what a timer may be late.
const TOLERANCE: Duration = Duration::from_millis(20);

/// The client's end of a connection that is being served.
struct Client {
    io: DuplexStream,
    phase: tokio::sync::watch::Sender<StopPhase>,
    served: JoinHandle<CloseReason>,
    started: Instant,
}

impl Client {
    fn connect(router: Router) -> Client {
        Client::connect_through(WIDE, router, Limits::default())
    }

    fn connect_through(capacity: usize, router: Router, limits: Limits) -> Client {
        let (io, server) = duplex(capacity);
        let (phase, stop) = Stop::channel();
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
            is_tls: false,
        };
        let http = Http::new(router, Arc::new(limits));
        Client {
            io,
            phase,
            served: tokio::spawn(async move { http.serve(server, peer, stop).await }),
            started: Instant::now(),
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads an answer with a known length.
    async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.io.read_u8().await.unwrap());
        }
        let head = String::from_utf8(bytes).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.io.read_exact(&mut body).await.unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// Reads all until the server closes the connection.
    async fn rest(&mut self) -> String {
        String::from_utf8(self.rest_of_bytes().await).unwrap()
    }

    async fn rest_of_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.io.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    /// Waits for the end, and returns why it came and when, from the start.
    async fn end(self) -> (CloseReason, Duration) {
        let ended = self.served.await.unwrap();
        (ended, self.started.elapsed())
    }

    /// Checks why the connection ends, and when, from its start.
    #[track_caller]
    fn ends(self, reason: CloseReason, after: Duration) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let ended = self.served.await.unwrap();
            let took = self.started.elapsed();
            assert_eq!(ended, reason, "{caller}");
            assert!(
                after <= took && took < after + TOLERANCE,
                "{caller}: {took:?}, expected {after:?}"
            );
            drop(self.io);
            drop(self.phase);
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/empty", get(|| async { StatusCode::BAD_REQUEST }))
        .route(
            "/slow",
            get(|| async {
                sleep(seconds(3_600)).await;
                "at last"
            }),
        )
        .route("/large", get(|| async { vec![b'x'; 64 * 1024] }))
        .route(
            "/refusing",
            post(|request: axum::extract::Request| async move {
                sleep(seconds(1)).await;
                drop(request);
                StatusCode::UNAUTHORIZED
            }),
        )
        .route(
            "/peer",
            get(|peer: axum::Extension<Peer>| async move { peer.address.to_string() }),
        )
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn check_problem(text: &str, status: u16, code: &str) {
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"));
    assert!(head.contains("\r\nconnection: close"));
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["code"], code);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_and_knows_who_sent_it() {
    let mut client = Client::connect(router());
    client.send("GET /peer HTTP/1.1\r\n\r\n").await;
    assert!(client.answer().await.ends_with("127.0.0.1:50000"));
    client
        .send("GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
        .await;
    assert!(client.rest().await.ends_with("hello"));
    client.ends(CloseReason::Client, seconds(0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let mut client = Client::connect(router());
    assert_eq!(client.rest().await, "");
    client.ends(CloseReason::FirstByte, seconds(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_in_is_answered_with_408() {
    // While the protocol is still unknown, and after.
    for start in ["PRI * HT", "GET / HTTP/1.1\r\nx: "] {
        let mut client = Client::connect(router());
        sleep(seconds(5)).await;
        client.send(start).await;
        for _ in 0..9 {
            sleep(seconds(1)).await;
            if start.starts_with("GET") {
                client.send("y").await;
            }
        }
        check_problem(&client.rest().await, 408, "request_timeout");
        client.ends(CloseReason::Header, seconds(5 + 10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_not_before() {
    let mut client = Client::connect(router());
    client.send(GET).await;
    client.answer().await;
    sleep(seconds(74)).await;
    client.send(GET).await;
    assert!(client.answer().await.ends_with("hello"));
    assert_eq!(client.rest().await, "");
    client.ends(CloseReason::Idle, seconds(74 + 75)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_worked_on_for_longer_than_any_deadline() {
    let mut client = Client::connect(router());
    client.send("GET /slow HTTP/1.1\r\n\r\n").await;
    assert!(client.answer().await.ends_with("at last"));
    assert_eq!(client.rest().await, "");
    client.ends(CloseReason::Idle, seconds(3_600 + 75)).await;
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_body_that_was_not_wanted_is_no_head() {
    let mut client = Client::connect(router());
    client
        .send("POST /refusing HTTP/1.1\r\ncontent-length: 10\r\n\r\n")
        .await;
    // hyper holds one piece for the service; the second is read when the answer is written.
    for piece in ["hello", "world"] {
        sleep(Duration::from_millis(250)).await;
        client.send(piece).await;
    }
    assert!(client.answer().await.starts_with("HTTP/1.1 401 "));
    assert_eq!(client.rest().await, "");
    client.ends(CloseReason::Idle, seconds(1 + 75)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_closed() {
    let mut client = Client::connect_through(1_024, router(), Limits::default());
    client.send("GET /large HTTP/1.1\r\n\r\n").await;
    client.ends(CloseReason::WriteStall, seconds(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answer_slowly_gets_it() {
    let mut client = Client::connect_through(8 * 1_024, router(), Limits::default());
    client
        .send("GET /large HTTP/1.1\r\nconnection: close\r\n\r\n")
        .await;
    let mut taken = 0;
    let mut piece = vec![0; 8 * 1_024];
    loop {
        sleep(seconds(20)).await;
        match client.io.read(&mut piece).await.unwrap() {
            0 => break,
            bytes => taken += bytes,
        }
    }
    assert!(taken > 64 * 1_024);
    assert!(client.started.elapsed() > seconds(75 + 30));
    assert_eq!(client.served.await.unwrap(), CloseReason::Client);
}

/// Sends what cannot be read as the first request, over a wide pipe and a narrow one, and after a good request.
async fn check_refused(request: &str, status: u16, code: &str) {
    for capacity in [WIDE, 16] {
        let mut client = Client::connect_through(capacity, router(), Limits::default());
        let (mut reads, mut writes) = tokio::io::split(client.io);
        let mut text = String::new();
        let (read, written) = tokio::join!(
            reads.read_to_string(&mut text),
            writes.write_all(request.as_bytes())
        );
        read.unwrap();
        written.unwrap();
        check_problem(&text, status, code);
        client.io = reads.unsplit(writes);
        client.ends(CloseReason::Protocol, LINGER).await;
    }
    let mut client = Client::connect(router());
    client.send([GET, request].concat()).await;
    assert!(client.answer().await.ends_with("hello"));
    check_problem(&client.rest().await, status, code);
    // What was read whole is refused by the service and leaves nothing to linger for.
    let (ended, took) = client.end().await;
    assert_eq!(ended, CloseReason::Protocol);
    assert!(took < LINGER + TOLERANCE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_answered_with_a_problem() {
    for request in [
        "GARBAGE\r\n\r\n",
        "\u{16}\u{3}\u{1} is how a handshake begins",
        "GET / HTTP/7.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno field\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n",
    ] {
        check_refused(request, 400, "malformed_request").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_answered_with_a_problem() {
    let field = "x".repeat(20 * 1_024);
    let fields = "x: y\r\n".repeat(101);
    for request in [
        format!("GET / HTTP/1.1\r\nfield: {field}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{fields}\r\n"),
    ] {
        check_refused(&request, 431, "headers_too_large").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_within_the_limits_is_read() {
    let mut client = Client::connect(router());
    let fields = "x: y\r\n".repeat(98);
    let field = "x".repeat(15 * 1_024);
    let request = format!("GET / HTTP/1.1\r\n{fields}field: {field}\r\n\r\n");
    client.send(request).await;
    assert!(client.answer().await.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_of_the_service_stays_what_it_is() {
    let mut client = Client::connect(router());
    client
        .send("GET /empty HTTP/1.1\r\nconnection: close\r\n\r\n")
        .await;
    let text = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(text.contains("\r\ncontent-length: 0\r\n"));
    assert!(text.ends_with("\r\n\r\n"));
    client.ends(CloseReason::Client, seconds(0)).await;
}

#[tokio::test(start_paused = true)]
async fn draining_lets_a_request_end_and_closes_what_is_idle() {
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let router = Router::new().route(
        "/",
        get(move || {
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                "done"
            }
        }),
    );
    let mut busy = Client::connect(router);
    busy.send(GET).await;
    sleep(seconds(1)).await;
    busy.phase.send_replace(StopPhase::Draining);
    sleep(seconds(1)).await;
    opens.notify_one();
    let text = busy.rest().await;
    assert!(text.contains("\r\nconnection: close\r\n") && text.ends_with("done"));
    busy.ends(CloseReason::Shutdown, seconds(2)).await;

    let mut idle = Client::connect(self::router());
    idle.send(GET).await;
    idle.answer().await;
    idle.phase.send_replace(StopPhase::Draining);
    assert_eq!(idle.rest().await, "");
    idle.ends(CloseReason::Shutdown, seconds(0)).await;

    let mut silent = Client::connect(self::router());
    sleep(seconds(1)).await;
    silent.phase.send_replace(StopPhase::Draining);
    assert_eq!(silent.rest().await, "");
    silent.ends(CloseReason::Shutdown, seconds(1)).await;
}

mod http2 {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const END_OF_STREAM_AND_HEADERS: u8 = 0x5;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// A GET of `/`, by indices of HPACK's static table, with these fields besides.
    fn request(stream: u32, fields: usize) -> Vec<u8> {
        let mut head = vec![0x82, 0x86, 0x84, 0x41, 9];
        head.extend(b"localhost");
        for _ in 0..fields {
            head.extend(b"\0\x01x\x01y");
        }
        frame(HEADERS, END_OF_STREAM_AND_HEADERS, stream, &head)
    }

    /// Reads frames until one of this kind, and returns its payload.
    async fn next(client: &mut Client, kind: u8) -> Vec<u8> {
        loop {
            let mut head = [0; 9];
            client.io.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            client.io.read_exact(&mut payload).await.unwrap();
            if head[3] == kind {
                return payload;
            }
        }
    }

    /// Without pings, which these clients do not answer.
    fn limits() -> Limits {
        Limits {
            ping_interval: seconds(100_000),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_answered_and_an_idle_connection_closed() {
        let mut client = Client::connect_through(WIDE, router(), limits());
        client.send(PREFACE).await;
        client.send(frame(SETTINGS, 0, 0, &[])).await;
        for stream in [1, 3] {
            sleep(seconds(50)).await;
            client.send(request(stream, 0)).await;
            // 200, by its index.
            assert_eq!(next(&mut client, HEADERS).await[0], 0x88);
            assert_eq!(next(&mut client, DATA).await, b"hello");
        }
        // The client has a moment to answer the farewell, and does not.
        client
            .ends(CloseReason::Idle, seconds(50 + 50 + 75) + LINGER)
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_no_ping_is_gone() {
        let mut client = Client::connect(router());
        client.send(PREFACE).await;
        client.send(frame(SETTINGS, 0, 0, &[])).await;
        client.ends(CloseReason::Idle, seconds(20 + 10)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_no_window_is_closed() {
        const INITIAL_WINDOW_SIZE_OF_NONE: &[u8] = &[0, 4, 0, 0, 0, 0];
        let mut client = Client::connect_through(WIDE, router(), limits());
        client.send(PREFACE).await;
        client
            .send(frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE_OF_NONE))
            .await;
        client.send(request(1, 0)).await;
        assert_eq!(next(&mut client, HEADERS).await[0], 0x88);
        client.ends(CloseReason::WriteStall, seconds(30)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_fields_are_answered_with_a_problem() {
        let mut client = Client::connect_through(WIDE, router(), limits());
        client.send(PREFACE).await;
        client.send(frame(SETTINGS, 0, 0, &[])).await;
        client.send(request(1, 101)).await;
        let problem: serde_json::Value =
            serde_json::from_slice(&next(&mut client, DATA).await).unwrap();
        assert_eq!(problem["status"], 431);
        assert_eq!(problem["code"], "headers_too_large");
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_break_the_protocol_end_the_connection() {
        let mut client = Client::connect_through(WIDE, router(), limits());
        client.send(PREFACE).await;
        client.send(frame(SETTINGS, 0, 0, &[])).await;
        // Data of a stream that was never opened.
        client.send(frame(DATA, 0, 1, b"data")).await;
        client.rest_of_bytes().await;
        client.ends(CloseReason::Protocol, seconds(0)).await;
    }
}
