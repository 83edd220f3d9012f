//! Who embeds: the model of this machine, and perhaps a remote provider beside it.

use std::time::Duration;

use super::Secret;
use super::reader::Reader;

/// What OpenAI-compatible servers take without being told otherwise.
const BATCH_TEXTS_MAX: u64 = 32;

const BATCH_BYTES_MAX: u64 = 256 * 1024;

/// A batch of long texts takes a hosted model seconds; what takes longer is seldom answered at all.
const TIMEOUT_S: u64 = 10;

const AT_ONCE_MAX: u64 = 4;

/// A remote embedding provider.
#[derive(Debug, Clone)]
pub struct RemoteEmbedding {
    /// Where its `/embeddings` is, without that.
    pub url: String,
    /// The model's name, as the provider knows it.
    pub model: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Whether the provider is told that length.
    pub requests_dimensions: bool,
    /// Our key there.
    pub key: Option<Secret>,
    /// Most texts of a call.
    pub batch_texts_max: usize,
    /// Most bytes of the texts of a call.
    pub batch_bytes_max: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// Calls at once.
    pub at_once_max: usize,
    /// Calls a minute, where there is a limit.
    pub calls_per_minute_max: Option<u32>,
}

impl RemoteEmbedding {
    /// Returns the identity of everything that decides a vector of the provider, as far as it can be known from here.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.url, &self.model, &self.dimensions.to_string()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        format!("remote:{}", hasher.finalize().to_hex())
    }
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<RemoteEmbedding> {
    let provider = reader.text("embedding.provider", Some("local"));
    let url = reader.text("embedding.url", None);
    let model = reader.text("embedding.model", None);
    let dimensions = reader.text("embedding.dimensions", None);
    let key = reader.text("embedding.api_key", None).map(Secret::new);
    let requests_dimensions = reader.flag("embedding.request_dimensions");
    let insecure = reader.flag("embedding.insecure");
    let batch_texts_max =
        reader.number("embedding.batch_texts_max", BATCH_TEXTS_MAX, 1..=2_048) as usize;
    let batch_bytes_max = reader.number(
        "embedding.batch_bytes_max",
        BATCH_BYTES_MAX,
        1_024..=1 << 26,
    ) as usize;
    let timeout = reader.number("embedding.timeout_s", TIMEOUT_S, 1..=600);
    let at_once_max = reader.number("embedding.at_once_max", AT_ONCE_MAX, 1..=256) as usize;
    let calls_per_minute_max = reader.number_or_off("embedding.calls_per_minute_max", None);
    match provider.as_deref() {
        Some("local") => return None,
        Some("openai") => {}
        other => {
            reader.problems.push(format!(
                "embedding.provider must be `local` or `openai`, not {:?}",
                other.unwrap_or_default()
            ));
            return None;
        }
    }
    if let Some(url) = &url {
        check_url(url, key.is_some() && !insecure, reader.problems);
    }
    for (name, is_missing) in [
        ("url", url.is_none()),
        ("model", model.is_none()),
        ("dimensions", dimensions.is_none()),
    ] {
        if is_missing {
            reader.problems.push(format!(
                "embedding.{name} is needed with embedding.provider = \"openai\""
            ));
        }
    }
    let dimensions = dimensions.and_then(|text| match text.parse() {
        Ok(number @ 1..=8_192) => Some(number),
        _ => {
            reader.problems.push(format!(
                "embedding.dimensions must be a whole number from 1 to 8192, not {text:?}"
            ));
            None
        }
    });
    Some(RemoteEmbedding {
        url: url?,
        model: model?,
        dimensions: dimensions?,
        requests_dimensions,
        key,
        batch_texts_max,
        batch_bytes_max,
        timeout: Duration::from_secs(timeout),
        at_once_max,
        calls_per_minute_max,
    })
}

fn check_url(url: &str, must_be_private: bool, problems: &mut Vec<String>) {
    let Ok(parsed) = reqwest::Url::parse(url) else {
        problems.push(format!("embedding.url is not an address: {url:?}"));
        return;
    };
    if !matches!(parsed.scheme(), "https" | "http") {
        problems.push(format!(
            "embedding.url must start with https:// or http://, not {url:?}"
        ));
    }
    if parsed.path().trim_end_matches('/').ends_with("/embeddings") {
        problems.push(format!(
            "embedding.url must end before /embeddings, which is added: not {url:?}"
        ));
    }
    if parsed.password().is_some() || !parsed.username().is_empty() {
        problems.push(
            "embedding.url must not hold a password: set embedding.api_key instead".to_owned(),
        );
    }
    let is_loopback = parsed.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
        host == "localhost" || host.parse().is_ok_and(is_loopback)
    });
    if parsed.scheme() == "http" && must_be_private && !is_loopback {
        problems.push(
            "embedding.url would send embedding.api_key unencrypted: use https, or set embedding.insecure"
                .to_owned(),
        );
    }
}
