//! A running server: the real binary on free ports, asked over HTTP and ended by its process id.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::app::{App, DEADLINE, wait_until};

/// How long a plain connection may be silent: longer than any deadline of the server for a request's head.
const SILENCE_MAX: Duration = Duration::from_secs(25);

/// Lines of the log that are shown when a test fails.
const LOG_LINES_SHOWN: usize = 20;

/// A server at work. Dropping it kills its process.
pub struct TestServer {
    child: Child,
    /// Where it listens, for example `http://127.0.0.1:40001`.
    pub url: String,
    /// Where it answers probes.
    pub ops_url: String,
    /// The key of this machine, which may do everything.
    pub admin: String,
    log: PathBuf,
}

impl TestServer {
    /// Starts a server on the app's data directory and waits until it is ready. It does not linger when it is asked to
    /// end, unless the environment says so.
    pub fn start(app: &App, args: &[&str], env: &[(&str, &str)]) -> TestServer {
        let log = app.dir.path().join("server.log");
        let stderr = OpenOptions::new().create(true).append(true).open(&log);
        let listen = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--ops-listen",
            "127.0.0.1:0",
        ];
        let args: Vec<&str> = listen.into_iter().chain(args.iter().copied()).collect();
        let mut child = app
            .command(&args)
            // Tests ask with wrong keys as fast as they can; those of the limits set their own.
            .env("EMBEDDER_RATE_LIMIT_ADDRESS_PER_S", "off")
            .env("EMBEDDER_RATE_LIMIT_AUTH_FAILURES_PER_MIN", "off")
            .env("EMBEDDER_SERVER_NOTICE_S", "0")
            .env("EMBEDDER_SERVER_DRAIN_S", "5")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(stderr.unwrap())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        // Whatever fails from here on, the process does not stay behind.
        let mut server = TestServer {
            child,
            url: String::new(),
            ops_url: String::new(),
            admin: String::new(),
            log,
        };
        server.read_addresses(&lines);
        wait_until("the server is ready", || {
            let ready = server.ops("/readyz").try_send();
            ready.is_ok_and(|answer| answer.status == 200) || !server.is_running()
        });
        assert!(server.is_running(), "it ended:\n{}", server.log());
        let key = fs::read_to_string(app.data_dir().join("local.key")).unwrap();
        key.trim().clone_into(&mut server.admin);
        server
    }

    /// A request by the key of this machine; `path` begins with a slash.
    pub fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(method, &format!("{}{path}", self.url), Some(&self.admin))
    }

    /// A GET to the ops listener, without a key.
    pub fn ops(&self, path: &str) -> Ask {
        Ask::new("GET", &format!("{}{path}", self.ops_url), None)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send()
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path).json(body).send()
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask("PUT", path).json(body).send()
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path).send()
    }

    /// Makes a key and returns its token.
    pub fn key(&self, scopes: &[&str], collections: Option<&[&str]>) -> String {
        self.key_and_id(scopes, collections).0
    }

    /// Makes a key and returns its token and its id.
    pub fn key_and_id(&self, scopes: &[&str], collections: Option<&[&str]>) -> (String, String) {
        let body = json!({"name": "a test", "scopes": scopes, "collections": collections});
        let made = self.post("/v1/admin/keys", &body).with_status(201).body;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["token"]), text(&made["key"]["id"]))
    }

    /// Makes a collection of documents.
    pub fn make_documents(&self, collection: &str) {
        let body = json!({"kind": "documents"});
        self.put(&format!("/v1/collections/{collection}"), &body)
            .with_status(201);
    }

    /// Writes documents, each an id and a text.
    pub fn write(&self, collection: &str, documents: &[(&str, &str)]) -> Value {
        let documents = documents
            .iter()
            .map(|(id, text)| json!({"id": id, "text": text}));
        let body = json!({"documents": documents.collect::<Vec<_>>()});
        self.post(&format!("/v1/collections/{collection}/documents"), &body)
            .ok()
    }

    /// Searches by words alone and returns the paths of the hits.
    pub fn find(&self, collection: &str, query: &str) -> Vec<String> {
        let body = json!({"query": query, "mode": "text"});
        let answer = self.post(&format!("/v1/collections/{collection}/search"), &body);
        paths(&answer.ok())
    }

    /// Allows a folder to be indexed.
    pub fn allow(&self, root: &Path) {
        self.post("/v1/admin/roots", &json!({"path": root})).ok();
    }

    /// Begins to index a folder into a collection of code, made if it is not there, and returns the job.
    pub fn begin_index(&self, collection: &str, folder: &Path) -> Value {
        self.put(
            &format!("/v1/collections/{collection}"),
            &json!({"kind": "code"}),
        )
        .ok();
        self.add_source(collection, folder)
    }

    /// Begins to index a folder into a collection that is there, and returns the job.
    pub fn add_source(&self, collection: &str, folder: &Path) -> Value {
        let body = json!({"path": folder});
        let added = self
            .post(&format!("/v1/collections/{collection}/sources"), &body)
            .with_status(202);
        added.body["job"].clone()
    }

    /// Indexes a folder, which is allowed first, and returns the job when it is done.
    pub fn index(&self, collection: &str, folder: &Path) -> Value {
        self.allow(folder);
        let job = self.begin_index(collection, folder);
        let ended = self.end_of_job(job["id"].as_str().unwrap());
        assert_eq!(ended["state"], "done", "{ended}");
        ended
    }

    /// Waits until a job has ended and returns it.
    pub fn end_of_job(&self, id: &str) -> Value {
        let mut job = Value::Null;
        wait_until("the job has ended", || {
            job = self.get(&format!("/v1/jobs/{id}")).ok();
            ["done", "failed", "cancelled"].contains(&job["state"].as_str().unwrap())
        });
        job
    }

    /// Reads a stream of server-sent events until the server ends it: the type and the data of each.
    pub fn events(&self, path: &str) -> Vec<(String, Value)> {
        let response = self.ask("GET", path).begin().unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Vec::new();
        let mut kind = String::new();
        for line in BufReader::new(response).lines() {
            let line = line.unwrap();
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut kind);
            } else if let Some(data) = line.strip_prefix("data:") {
                events.push((kind.clone(), serde_json::from_str(data).unwrap()));
            }
        }
        events
    }

    /// Opens a plain connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
        stream.set_write_timeout(Some(SILENCE_MAX)).unwrap();
        stream
    }

    /// The same by a client whose buffer is small, so that what it does not read stays with the server.
    pub fn connect_narrowly(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect(&self.address().into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
        stream.set_write_timeout(Some(SILENCE_MAX)).unwrap();
        stream
    }

    /// The same from one of twenty addresses of this machine: one alone may not have so many connections.
    pub fn connect_from(&self, number: u64) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let own = SocketAddr::from(([127, 0, 1, 1 + (number % 20) as u8], 0));
        socket.bind(&own.into()).unwrap();
        socket.connect(&self.address().into()).unwrap();
        socket.into()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        address_of(&self.url)
    }

    /// Where it answers probes.
    pub fn ops_address(&self) -> SocketAddr {
        address_of(&self.ops_url)
    }

    /// Sends bytes as they are and returns what comes back until the server closes, which a request that is in order
    /// has to ask for.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that has seen enough closes before all is written. What it said is there all the same.
        let _ = stream.write_all(request);
        read_to_close(&mut stream)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let amount = line.unwrap().trim().strip_suffix(" kB").unwrap();
        amount.parse().unwrap()
    }

    /// What was logged, by earlier servers of the same app as well.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks the server to end.
    pub fn sigterm(&self) {
        self.signal("-TERM");
    }

    /// Ends the process at once, as a crash would.
    pub fn kill9(&self) {
        self.signal("-KILL");
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends the server in good order.
    pub fn stop(mut self) {
        self.sigterm();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status();
        assert!(kill.unwrap().success());
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn read_addresses(&mut self, lines: &Receiver<String>) {
        let started = Instant::now();
        while self.url.is_empty() || self.ops_url.is_empty() {
            let Ok(line) = lines.recv_timeout(DEADLINE.saturating_sub(started.elapsed())) else {
                panic!("it did not say where it listens:\n{}", self.log());
            };
            if let Some(url) = line.strip_prefix("listening on ") {
                url.trim().clone_into(&mut self.url);
            } else if let Some(url) = line.strip_prefix("ops on ") {
                url.trim().clone_into(&mut self.ops_url);
            }
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("the last the server logged:\n{}", last.join("\n"));
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request that is not sent yet.
pub struct Ask {
    request: RequestBuilder,
    token: Option<String>,
}

impl Ask {
    fn new(method: &str, url: &str, token: Option<&str>) -> Ask {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Ask {
            request: client().request(method, url),
            token: token.map(str::to_owned),
        }
    }

    /// Shows another key.
    pub fn key(mut self, token: &str) -> Ask {
        self.token = Some(token.to_owned());
        self
    }

    /// Shows no key.
    pub fn no_key(mut self) -> Ask {
        self.token = None;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(mut self, body: &Value) -> Ask {
        self.request = self.request.json(body);
        self
    }

    /// Sends these bytes; their type is a header of its own.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.request = self.request.body(body.into());
        self
    }

    /// Sends the request and reads its answer.
    #[track_caller]
    pub fn send(self) -> Answer {
        self.try_send()
            .unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// The same for a server that may go away meanwhile.
    pub fn try_send(self) -> reqwest::Result<Answer> {
        Answer::read(self.begin()?)
    }

    /// Sends the request and leaves the body of its answer to the caller.
    pub fn begin(self) -> reqwest::Result<Response> {
        match self.token {
            Some(token) => self.request.bearer_auth(token),
            None => self.request,
        }
        .send()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// The text as JSON; null where it is none.
    pub body: Value,
}

impl Answer {
    fn read(response: Response) -> reqwest::Result<Answer> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text()?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer {
            status,
            headers,
            text,
            body,
        })
    }

    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            self.text
        );
        self.body
    }

    /// The problem document of an answer that must be one, whole and of this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        let text = &self.text;
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{text}"
        );
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{text}"
        );
        assert_eq!(self.header("cache-control"), "no-store", "{text}");
        let body = &self.body;
        assert_eq!(body["type"], "about:blank", "{text}");
        assert_eq!(body["status"], status, "{text}");
        assert!(
            body["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty()),
            "{text}"
        );
        assert!(body["retryable"].is_boolean(), "{text}");
        self.assert_names();
        assert_eq!(body["request_id"], self.header("x-request-id"), "{text}");
        let trace = self.header("traceparent").split('-').nth(1);
        assert_eq!(body["trace_id"].as_str(), trace, "{text}");
        if status == 401 {
            assert!(
                self.header("www-authenticate").starts_with("Bearer"),
                "{text}"
            );
        }
        if status == 503 && body["retryable"] == true {
            assert!(
                self.header("retry-after")
                    .parse::<u64>()
                    .is_ok_and(|s| s > 0),
                "{text}"
            );
        }
        self.body
    }

    /// Checks that the answer says what its request is called.
    #[track_caller]
    pub fn assert_names(&self) {
        assert!(self.header("x-request-id").len() >= 8, "{self:?}");
        let lens: Vec<usize> = self
            .header("traceparent")
            .split('-')
            .map(str::len)
            .collect();
        assert_eq!(lens, [2, 32, 16, 2], "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{self:?}");
    }
}

/// A problem document without what differs from request to request.
pub fn without_names(mut problem: Value) -> Value {
    let body = problem.as_object_mut().unwrap();
    body.remove("request_id").unwrap();
    body.remove("trace_id").unwrap();
    problem
}

/// The path of each hit of an answer.
pub fn paths(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().unwrap();
    let path = |hit: &Value| hit["path"].as_str().unwrap().to_owned();
    hits.iter().map(path).collect()
}

/// A text as one part of an address, slashes included.
pub fn encoded(part: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    part.bytes().map(encode).collect()
}

/// A word that no other number has, that is no compound and has no ending that a stemmer takes off.
pub fn word(mut number: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "ve", "wi", "zo", "tu",
        "ja",
    ];
    let mut word = String::from("q");
    for _ in 0..5 {
        word.push_str(SYLLABLES[number % SYLLABLES.len()]);
        number /= SYLLABLES.len();
    }
    word + "x"
}

/// Every operation of the OpenAPI document that a server serves: path, method in capitals, and what is said of it.
pub fn operations(server: &TestServer) -> Vec<(String, String, Value)> {
    let document = server.get("/openapi.json").ok();
    let paths: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_value(document["paths"].clone()).unwrap();
    let operations = paths.into_iter().flat_map(|(path, operations)| {
        let operations = operations.into_iter();
        operations.map(move |(method, said)| (path.clone(), method.to_uppercase(), said))
    });
    operations.collect()
}

fn address_of(url: &str) -> SocketAddr {
    let address = url.strip_prefix("http://").unwrap();
    address.parse().unwrap()
}

/// Reads until the other side closes.
pub fn read_to_close(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        let is_silence = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!is_silence, "the server did not close after {text:?}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of an answer that was read from a plain connection; 0 where there is none.
pub fn status_of(answer: &str) -> u16 {
    let status = answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// One client for all tests. Redirects are theirs to follow.
pub fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // The client asks for one although it speaks no TLS here; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(DEADLINE)
            .build()
            .unwrap()
    })
}

/// Hands on the lines of a process, and reads them for as long as it lives, so that it never waits for us.
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // After the start nobody listens any more.
            let _ = sender.send(line);
        }
    });
    lines
}
