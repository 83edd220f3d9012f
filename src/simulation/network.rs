//! An embedding provider that is made up: it answers, or fails in the ways that providers do.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::outbound::circuit::Attempt;
use crate::outbound::provider::{Sent, Transport, TransportError};

/// The length of its vectors.
pub(super) const DIMENSIONS: usize = 16;

/// What the provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// It answers.
    #[default]
    Well,
    /// It refuses connections.
    Refuses,
    /// It never answers.
    Hangs,
    /// It answers with an error.
    Fails,
    /// Every second call fails.
    FailsHalf,
    /// It asks for a day of quiet.
    Overloaded,
    /// Its vectors are too short.
    Short,
    /// Its numbers are none.
    NotFinite,
    /// It takes long.
    Slow,
}

/// The network that leads to it.
#[derive(Default)]
pub(super) struct Network {
    state: Mutex<(Mode, u64)>,
}

impl Mode {
    pub(super) const FAULTS: [Mode; 8] = [
        Mode::Refuses,
        Mode::Hangs,
        Mode::Fails,
        Mode::FailsHalf,
        Mode::Overloaded,
        Mode::Short,
        Mode::NotFinite,
        Mode::Slow,
    ];
}

impl Network {
    pub(super) fn set(&self, mode: Mode) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = mode;
    }

    async fn answer(&self, body: Bytes) -> Result<Sent, TransportError> {
        let (mode, calls) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.1 += 1;
            *state
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        match mode {
            Mode::Refuses => return Err(TransportError::Connect),
            Mode::Hangs => std::future::pending().await,
            Mode::FailsHalf if calls % 2 == 0 => return Err(TransportError::Broken),
            Mode::Fails => return Ok(status(500, None)),
            Mode::Overloaded => return Ok(status(429, Some(Duration::from_secs(86_400)))),
            Mode::Slow => tokio::time::sleep(Duration::from_secs(3)).await,
            Mode::Well | Mode::FailsHalf | Mode::Short | Mode::NotFinite => {}
        }
        let request: Value = serde_json::from_slice(&body).unwrap();
        let texts = request["input"].as_array().unwrap();
        let rows = texts.iter().enumerate().map(|(index, text)| {
            let mut vector = vector_of(text.as_str().unwrap());
            if mode == Mode::Short {
                vector.pop();
            }
            let mut embedding = json!(vector);
            if mode == Mode::NotFinite {
                embedding[0] = Value::Null;
            }
            json!({"index": index, "embedding": embedding})
        });
        let answer = json!({"data": rows.collect::<Vec<_>>()});
        Ok(Sent {
            status: 200,
            retry_after: None,
            body: answer.to_string().into(),
        })
    }
}

impl Transport for Network {
    fn post(
        &self,
        body: Bytes,
        _: Attempt,
        _: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Sent, TransportError>> + Send + '_>> {
        Box::pin(self.answer(body))
    }
}

fn status(status: u16, retry_after: Option<Duration>) -> Sent {
    Sent {
        status,
        retry_after,
        body: Bytes::from_static(b"{}"),
    }
}

/// Returns a vector that the text alone decides.
fn vector_of(text: &str) -> Vec<f32> {
    let bytes = blake3::hash(text.as_bytes());
    let numbers = bytes.as_bytes().iter().take(DIMENSIONS);
    numbers.map(|&byte| f32::from(byte) / 255.0 - 0.5).collect()
}
