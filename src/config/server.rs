//! What `serve` goes by.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;

/// Where the server listens by default: loopback, so that nobody else reaches it.
pub(super) const LISTEN: &str = "127.0.0.1:7878";

/// Where probes and metrics are answered by default.
pub(super) const OPS_LISTEN: &str = "127.0.0.1:9091";

/// Load balancers look every few seconds; after this they have stopped sending.
const NOTICE_S: u64 = 5;

/// A server that stays for longer than a week without use stays for good.
const IDLE_EXIT_S_MAX: u64 = 7 * 24 * 60 * 60;

/// Longer than any ordinary request; orchestrators kill after 30 s.
const DRAIN_S: u64 = 20;

/// A search takes milliseconds; who waits this long has left.
const REQUEST_S_MAX: u64 = 30;

/// 2,048 long texts take minutes on one core.
const EMBED_S_MAX: u64 = 300;

const BODY_BYTES_MAX: u64 = 2 * 1024 * 1024;
const BULK_BYTES_MAX: u64 = 32 * 1024 * 1024;
const CONNECTIONS_MAX: u64 = 4_096;
const CONNECTIONS_PER_ADDRESS_MAX: u64 = 1_024;
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
const AUDIT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What `serve` goes by.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate chain and private key, where it speaks TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether it may listen beyond loopback without TLS.
    pub insecure: bool,
    /// Names by which it may be called, in lower case.
    pub hosts: Vec<String>,
    /// How long serving goes on after SIGTERM.
    pub notice: Duration,
    /// How long requests under way may take after that.
    pub drain: Duration,
    /// After how long the server ends by itself that nobody has used.
    pub idle_exit: Option<Duration>,
    /// Longest time for an answer.
    pub request_time_max: Duration,
    /// Longest time for an answer of `/v1/embeddings`.
    pub embed_time_max: Duration,
    /// Largest body in bytes.
    pub body_bytes_max: usize,
    /// Largest body of documents and texts in bytes.
    pub bulk_bytes_max: usize,
    /// Memory that the process may have in bytes, where that is less than what the operating system gives it.
    pub memory_bytes_max: Option<u64>,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// The second listener, for probes and metrics.
    pub ops_listen: Option<SocketAddr>,
    /// Memory for answers that were asked for before, in bytes.
    pub cache_bytes: u64,
    /// Disk budget of the audit log in bytes.
    pub audit_bytes_max: u64,
    /// Whether a degraded answer is 206 and not 200.
    pub degraded_is_206: bool,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Server> {
    let listen = address(reader, "server.listen", LISTEN);
    let cert = reader.text("server.tls_cert", None).map(PathBuf::from);
    let key = reader.text("server.tls_key", None).map(PathBuf::from);
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            reader
                .problems
                .push("server.tls_cert and server.tls_key go together: set both".to_owned());
            None
        }
    };
    let insecure = reader.flag("server.insecure");
    let hosts = reader.text("server.hosts", None).unwrap_or_default();
    let seconds = |reader: &mut Reader<'_>, key, default, range| {
        Duration::from_secs(reader.number(key, default, range))
    };
    let notice = seconds(reader, "server.notice_s", NOTICE_S, 0..=600);
    let drain = seconds(reader, "server.drain_s", DRAIN_S, 0..=3_600);
    let idle_exit = match reader.number("server.idle_exit_s", 0, 0..=IDLE_EXIT_S_MAX) {
        0 => None,
        seconds => Some(Duration::from_secs(seconds)),
    };
    let request_time_max = seconds(reader, "server.request_s_max", REQUEST_S_MAX, 1..=3_600);
    let embed_time_max = seconds(reader, "server.embed_s_max", EMBED_S_MAX, 1..=3_600);
    let size = |reader: &mut Reader<'_>, key, default, range| {
        usize::try_from(reader.number(key, default, range)).unwrap_or(usize::MAX)
    };
    let body_bytes_max = size(
        reader,
        "server.body_bytes_max",
        BODY_BYTES_MAX,
        1_024..=1 << 30,
    );
    let bulk_bytes_max = size(
        reader,
        "server.bulk_bytes_max",
        BULK_BYTES_MAX,
        1_024..=1 << 30,
    );
    let memory_bytes_max = reader.bytes_or_off("server.memory_bytes_max");
    let connections_max = size(
        reader,
        "server.connections_max",
        CONNECTIONS_MAX,
        1..=1 << 20,
    );
    let connections_per_address_max = size(
        reader,
        "server.connections_per_address_max",
        CONNECTIONS_PER_ADDRESS_MAX,
        1..=1 << 20,
    );
    let ops = reader
        .text("ops.listen", Some(OPS_LISTEN))
        .unwrap_or_default();
    let ops_listen = match ops.as_str() {
        "off" | "none" => None,
        text => match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                reader.problems.push(format!(
                    "ops.listen must be ADDRESS:PORT or `off`, not {text:?}"
                ));
                None
            }
        },
    };
    let cache_bytes = reader.number("search.cache_bytes", CACHE_BYTES, 0..=1 << 36);
    let audit_bytes_max = reader.number("audit.bytes_max", AUDIT_BYTES_MAX, 1 << 16..=1 << 40);
    let degraded_is_206 = match reader.text("degradation.status", Some("206")).as_deref() {
        Some("206") => true,
        Some("200") => false,
        other => {
            reader.problems.push(format!(
                "degradation.status must be 206 or 200, not {:?}",
                other.unwrap_or_default()
            ));
            true
        }
    };
    Some(Server {
        listen: listen?,
        tls,
        insecure,
        hosts: hosts
            .split(',')
            .map(|host| host.trim().to_lowercase())
            .filter(|host| !host.is_empty())
            .collect(),
        notice,
        drain,
        idle_exit,
        request_time_max,
        embed_time_max,
        body_bytes_max,
        bulk_bytes_max,
        memory_bytes_max,
        connections_max,
        connections_per_address_max,
        ops_listen,
        cache_bytes,
        audit_bytes_max,
        degraded_is_206,
    })
}

fn address(reader: &mut Reader<'_>, key: &str, default: &str) -> Option<SocketAddr> {
    let text = reader.text(key, Some(default)).unwrap_or_default();
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            reader.problems.push(format!(
                "{key} must be ADDRESS:PORT with a numeric address, not {text:?}"
            ));
            None
        }
    }
}
