//! A git server over https, with an authority of its own: `git http-backend` behind a few lines of HTTP/1.1.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(20);

/// A git server. It ends with the test's process.
pub struct GitServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its authority's certificate.
    pub ca_file: PathBuf,
    /// The folder of its repositories.
    pub repositories: PathBuf,
    seen: Arc<Seen>,
    _dir: tempfile::TempDir,
}

/// What was asked.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    authorizations: Mutex<Vec<String>>,
}

/// A request's head.
struct Head {
    method: String,
    path: String,
    query: String,
    headers: HashMap<String, String>,
}

impl GitServer {
    /// Starts one on a port of loopback.
    pub fn start() -> GitServer {
        let dir = tempfile::tempdir().unwrap();
        let repositories = dir.path().join("repositories");
        std::fs::create_dir(&repositories).unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, own.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (root, told) = (repositories.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, root, seen) = (Arc::clone(&config), root.clone(), Arc::clone(&told));
                thread::spawn(move || {
                    // A client that leaves, or does not trust the certificate, is what some tests are about.
                    let _ = serve(stream, config, &root, &seen);
                });
            }
        });
        GitServer {
            address,
            ca_file,
            repositories,
            seen,
            _dir: dir,
        }
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("https://localhost:{}/{name}", self.address.port())
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// The credentials that were shown, each once.
    pub fn authorizations(&self) -> Vec<String> {
        let mut shown = self.seen.authorizations.lock().unwrap().clone();
        shown.dedup();
        shown
    }

    /// Makes an empty repository.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::make(&self.repositories.join(name))
    }
}

/// `git`, without any configuration of this machine.
fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

/// A repository, made object by object, so that it can hold what `git` itself would refuse.
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// Makes an empty bare one, whose own branch is `main`.
    pub fn make(folder: &Path) -> Repository {
        std::fs::create_dir_all(folder).unwrap();
        git(
            folder,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
            b"",
        );
        Repository {
            folder: folder.to_owned(),
        }
    }

    fn id(&self, arguments: &[&str], input: &[u8]) -> String {
        let said = git(&self.folder, arguments, input);
        String::from_utf8(said).unwrap().trim().to_owned()
    }

    /// Stores a file's content.
    pub fn blob(&self, content: &[u8]) -> String {
        self.id(&["hash-object", "-w", "--stdin"], content)
    }

    /// Stores a tree of entries (mode, name, id), whatever they are.
    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            let bytes = (0..id.len()).step_by(2);
            raw.extend(bytes.map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
        }
        let arguments = ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"];
        self.id(&arguments, &raw)
    }

    /// Commits a tree to a branch, and returns the commit's id.
    pub fn commit_tree(&self, branch: &str, tree: &str) -> String {
        let commit = self.id(&["commit-tree", tree, "-m", "a commit"], b"");
        let name = format!("refs/heads/{branch}");
        git(&self.folder, &["update-ref", &name, &commit], b"");
        commit
    }

    /// Commits files, named by paths, to a branch, and returns the commit's id.
    pub fn commit(&self, branch: &str, files: &[(&str, &str)]) -> String {
        let files: Vec<_> = files
            .iter()
            .map(|(path, content)| (*path, self.blob(content.as_bytes())))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(path, id)| (*path, id.as_str()))
            .collect();
        let tree = self.folder_of(&files);
        self.commit_tree(branch, &tree)
    }

    fn folder_of(&self, files: &[(&str, &str)]) -> String {
        let mut folders: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
        let mut entries: Vec<(&str, &str, String)> = Vec::new();
        for (path, id) in files {
            match path.split_once('/') {
                None => entries.push(("100644", path, (*id).to_owned())),
                Some((name, rest)) => match folders.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, inner)) => inner.push((rest, id)),
                    None => folders.push((name, vec![(rest, id)])),
                },
            }
        }
        for (name, inner) in &folders {
            entries.push(("40000", name, self.folder_of(inner)));
        }
        // As git has them: a folder's name counts as if it ended in a slash.
        entries.sort_by_key(|(mode, name, _)| {
            let slash = if *mode == "40000" { "/" } else { "" };
            format!("{name}{slash}")
        });
        let entries: Vec<_> = entries
            .iter()
            .map(|(mode, name, id)| (*mode, name.as_bytes(), id.as_str()))
            .collect();
        self.tree(&entries)
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    root: &Path,
    seen: &Seen,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let head = read_head(&mut stream)?;
    seen.requests.fetch_add(1, Ordering::Relaxed);
    if let Some(shown) = head.headers.get("authorization") {
        seen.authorizations.lock().unwrap().push(shown.clone());
    }
    let body = read_body(&mut stream, &head)?;
    let answer = if head.path.starts_with("/private/")
        && !head.headers.contains_key("authorization")
    {
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n".to_vec()
    } else if let Some(elsewhere) = head.path.strip_prefix("/moved/") {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: /{elsewhere}?{}\r\nContent-Length: 0\r\n",
            head.query
        )
        .into_bytes()
    } else {
        backend(root, &head, &body)?
    };
    let mut answer_with_end = answer;
    let place = find(&answer_with_end, b"\r\n").unwrap_or(0) + 2;
    let close = b"Connection: close\r\n";
    answer_with_end.splice(place..place, close.iter().copied());
    if find(&answer_with_end, b"\r\n\r\n").is_none() {
        answer_with_end.extend_from_slice(b"\r\n");
    }
    let inner = stream.get_mut();
    inner.write_all(&answer_with_end)?;
    inner.conn.send_close_notify();
    inner.flush()
}

/// Runs `git http-backend` (RFC 3875).
fn backend(root: &Path, head: &Head, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let path = head.path.strip_prefix("/private").unwrap_or(&head.path);
    let header = |name: &str| head.headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", &head.query)
        .env("REQUEST_METHOD", &head.method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let body = body.to_vec();
    let writing = thread::spawn(move || {
        // One that has read enough closes it.
        let _ = stdin.write_all(&body);
    });
    let output = child.wait_with_output()?.stdout;
    let _ = writing.join();
    let place = find(&output, b"\r\n\r\n").ok_or_else(|| std::io::Error::other("no head"))?;
    let (told, content) = (&output[..place], &output[place + 4..]);
    let told = String::from_utf8_lossy(told);
    let status = told
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", content.len());
    for line in told.lines().filter(|line| !line.starts_with("Status: ")) {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    Ok([answer.as_bytes(), content].concat())
}

fn read_head(stream: &mut impl BufRead) -> std::io::Result<Head> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines[0].split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines[1..].iter().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    Ok(Head {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
    })
}

fn read_body(stream: &mut impl BufRead, head: &Head) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head
        .headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked")
    {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    let length = head.headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
