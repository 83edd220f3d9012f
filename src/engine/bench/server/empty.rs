//! What a request costs beside the work that it asks for: one that asks for nothing, and one whose answer is there.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::Setting;
use super::child::{Placement, ServerProcess};
use super::client::{Client, Request};
use super::load::{Rotation, Until, closed_loop};
use crate::engine::bench::Spread;
use crate::engine::bench::corpus::COLLECTION;
use crate::error::{Error, Result};

/// Times each series is measured.
const ROUNDS: usize = 5;

/// Requests before each first series.
const WARM_UP: usize = 500;

/// The question that is asked again and again.
const QUESTION: &str = "open a file and read it";

/// What was measured over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EmptyFigures {
    /// `GET /livez`, without a key.
    pub livez: Rounds,
    /// A search whose answer is in the cache: key, body, lookup, ten hits as JSON.
    pub cached_search: Rounds,
}

/// A series of requests, measured several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rounds {
    /// How often.
    pub rounds: usize,
    /// Requests of each round.
    pub requests: usize,
    /// The median latency of each round.
    pub p50_us: Spread,
    /// What 99 of 100 requests of each round did not exceed.
    pub p99_us: Spread,
}

/// Measures with `requests` requests a round, on the collection that [`corpus`](super::super::corpus) built in
/// `data_dir`.
///
/// # Errors
/// Those of the server; [`Error::Interrupted`].
///
/// # Panics
/// When there are no requests.
pub fn empty(setting: &Setting<'_>, data_dir: &Path, requests: usize) -> Result<EmptyFigures> {
    let server = ServerProcess::start(setting, data_dir, Placement::OneCore)?;
    let mut client = server.client()?;
    let livez = server.anonymous("/livez");
    let body = json!({"query": QUESTION, "collections": [COLLECTION]});
    let search = server.request("POST", "/v1/search", Some(&body));
    client.json(&search)?;
    let again = client.ask(&search)?;
    if again.header("x-cache") != Some("hit") {
        return Err(again.unexpected());
    }
    Ok(EmptyFigures {
        livez: rounds(setting, &mut client, livez, requests)?,
        cached_search: rounds(setting, &mut client, search, requests)?,
    })
}

fn rounds(
    setting: &Setting<'_>,
    client: &mut Client,
    request: Request,
    requests: usize,
) -> Result<Rounds> {
    let only = [request];
    let rotation = Rotation::new(&only);
    let clients = std::slice::from_mut(client);
    let mut measure = |count| {
        let (until, core) = (Until::Requests(count), setting.cores.load);
        let work = closed_loop(clients, &rotation, until, core, setting.stop)?;
        work.tally.must_be_whole()?;
        Ok::<_, Error>(work.tally.latencies)
    };
    measure(WARM_UP)?;
    let (mut p50_us, mut p99_us) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let latency = measure(requests)?
            .percentiles()
            .expect("the series had answers");
        p50_us.push(latency.p50_us);
        p99_us.push(latency.p99_us);
    }
    Ok(Rounds {
        rounds: ROUNDS,
        requests,
        p50_us: Spread::of(p50_us),
        p99_us: Spread::of(p99_us),
    })
}
