//! How a request reaches the provider.

use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};

use crate::outbound::address::is_loopback;
use crate::outbound::circuit::Attempt;
use crate::outbound::{Secret, retry_after};

/// Sent as User-Agent, so that a provider's operators can see who calls.
const USER_AGENT: &str = concat!("embedder/", env!("CARGO_PKG_VERSION"));

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Which attempt a request is, from 0: whoever sheds work sheds repeated work first.
const RETRY_ATTEMPT: &str = "x-retry-attempt";

/// Why a request brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection could be made.
    #[error("the embedding provider cannot be reached")]
    Connect,
    /// The connection broke before the answer was whole.
    #[error("the connection to the embedding provider broke")]
    Broken,
    /// The answer is longer than what was asked for can be.
    #[error("the embedding provider's answer is too long")]
    TooLong,
    /// The request cannot be put into HTTP.
    #[error("the request to the embedding provider cannot be made")]
    Unsendable,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The status.
    pub status: u16,
    /// The wait that was asked for.
    pub retry_after: Option<Duration>,
    /// The body, whole.
    pub body: Bytes,
}

/// How a request reaches the provider. A test has one without a network.
pub trait Transport: Send + Sync {
    /// Sends a body and waits for the answer, of at most `bytes_max` bytes. Dropped, the request is given up.
    fn post(
        &self,
        body: Bytes,
        attempt: Attempt,
        bytes_max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Sent, TransportError>> + Send + '_>>;
}

/// HTTP, by the system's proxy if it has one; redirects are not followed, for they would take the key along.
pub struct HttpTransport {
    client: Client,
    url: Url,
    key: Option<Secret>,
}

impl HttpTransport {
    /// Speaks to the `/embeddings` below an address.
    ///
    /// # Errors
    /// [`TransportError::Unsendable`] where no client can be made.
    pub fn new(base: &Url, key: Option<Secret>) -> Result<HttpTransport, TransportError> {
        // An error says that a provider of cryptography is already in place, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| TransportError::Unsendable)?
            .pop_if_empty()
            .push("embeddings");
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIME_MAX);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|_| TransportError::Unsendable)?;
        Ok(HttpTransport { client, url, key })
    }

    async fn exchange(
        &self,
        body: Bytes,
        attempt: Attempt,
        bytes_max: usize,
    ) -> Result<Sent, TransportError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(RETRY_ATTEMPT, attempt.number)
            .body(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let answer = request.send().await.map_err(|error| classify(&error))?;
        let status = answer.status().as_u16();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after::parse(value.to_str().ok()?, SystemTime::now()));
        let body = read(answer, bytes_max).await?;
        Ok(Sent {
            status,
            retry_after,
            body,
        })
    }
}

impl Transport for HttpTransport {
    fn post(
        &self,
        body: Bytes,
        attempt: Attempt,
        bytes_max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Sent, TransportError>> + Send + '_>> {
        Box::pin(self.exchange(body, attempt, bytes_max))
    }
}

async fn read(mut answer: Response, bytes_max: usize) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + piece.len() > bytes_max {
            return Err(TransportError::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn classify(error: &reqwest::Error) -> TransportError {
    if error.is_builder() {
        TransportError::Unsendable
    } else if error.is_connect() {
        TransportError::Connect
    } else {
        TransportError::Broken
    }
}
