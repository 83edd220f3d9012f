//! `embedder drill`: walks a mechanism on the live server, and prints what happened.
//!
//! A drill does no harm: what it makes fail is the cache, a dependency of its own, or a key that nobody has. It ends with
//! exit code 1 where the server did not do what it should.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Context, output, served};
use crate::engine::serving::collections::CollectionView;
use crate::engine::serving::drill::{
    BreakerDrill, DRILLED, DegradationDrill, RecoveryDrill, RetryDrill,
};
use crate::engine::serving::resilience::BreakerList;
use crate::error::{Error, ErrorCode, Result};
use crate::http::drills::DegradationDrillBody;
use crate::outbound::control::{Control, Silent, Sleep};
use crate::outbound::daemon::Daemon;

/// How often a breaker is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How much longer than its stay a breaker may take to close: two rounds of health checks, with room to spare.
const CLOSING_MAX: Duration = Duration::from_secs(20);

/// Retries that a full budget pays for.
const EXTRA_MAX: u32 = 35;

/// Requests of an honest client beside one that guesses keys.
const HONEST: u32 = 100;

/// Keys that are guessed.
const GUESSES: u32 = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Open the breaker of the cache by failures, and watch it close by itself.
    Breaker,
    /// Let a thousand callers ask a dependency that is dead.
    Retry,
    /// Answer a question on every rung of the ladder.
    Degradation {
        /// The question.
        #[arg(default_value = "how does it work")]
        query: String,
        /// The collection; by default the first.
        #[arg(long)]
        collection: Option<String>,
    },
    /// Guess keys beside an honest client.
    RateLimit,
    /// Send what cannot be answered, and look at the answers; try a repair.
    Errors,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let server = served::require(context)?;
    match &args.command {
        Command::Breaker => breaker(context, &server),
        Command::Retry => retry(&server),
        Command::Degradation { query, collection } => {
            degradation(&server, query, collection.as_deref())
        }
        Command::RateLimit => rate_limit(&server),
        Command::Errors => errors(&server),
    }
}

fn breaker(context: &Context, server: &Daemon) -> Result<()> {
    let drill: BreakerDrill = server.post(&["v1", "admin", "drills", "breaker"], &json!({}))?;
    let begun = Instant::now();
    output::line(&format!(
        "{} failures of the {}: its breaker is {}",
        drill.failures, drill.dependency, drill.state
    ))?;
    let stay = Duration::from_millis(drill.open_ms);
    output::line(&format!("it stays open for {:.0} s", stay.as_secs_f64()))?;
    let control = Control {
        progress: &Silent,
        interrupt: &context.stop,
        pause: &Sleep,
    };
    let mut state = drill.state;
    while state != "closed" {
        control.wait(LOOK_EVERY).map_err(|_| Error::Interrupted)?;
        let list: BreakerList = server.get(&["v1", "admin", "breakers"], &[])?;
        let found = list
            .breakers
            .into_iter()
            .find(|view| view.dependency == DRILLED);
        let now = found.map(|view| view.state).unwrap_or_default();
        if now != state {
            let after = begun.elapsed().as_secs_f64();
            output::line(&format!("after {after:.1} s: {now}"))?;
            state = now;
        }
        if begun.elapsed() > stay + CLOSING_MAX {
            return failed("the breaker did not close by itself");
        }
    }
    output::line("ok: it opened by failures and closed by itself")
}

fn retry(server: &Daemon) -> Result<()> {
    let drill: RetryDrill = server.post(&["v1", "admin", "drills", "retry"], &json!({}))?;
    output::line(&format!(
        "{} requests to a dead dependency: {} calls, {} more than requests",
        drill.requests, drill.calls, drill.extra
    ))?;
    output::line(&format!(
        "calls while the breaker was open: {}",
        drill.calls_while_open
    ))?;
    if drill.extra > EXTRA_MAX || drill.calls_while_open > 0 {
        return failed("a dead dependency sees a storm");
    }
    output::line("ok: no storm, and no retry against an open breaker")
}

fn degradation(server: &Daemon, query: &str, collection: Option<&str>) -> Result<()> {
    let collection = match collection {
        Some(name) => name.to_owned(),
        None => first_collection(server)?,
    };
    let body = DegradationDrillBody {
        collection,
        query: query.to_owned(),
    };
    let drill: DegradationDrill = server.post(&["v1", "admin", "drills", "degradation"], &body)?;
    for rung in &drill.rungs {
        let without = if rung.without.is_empty() {
            "nothing".to_owned()
        } else {
            rung.without.join(" and ")
        };
        output::line(&format!(
            "without {without}: {} ({}), {} hits in {:.1} ms",
            rung.served_by, rung.level, rung.hits, rung.took_ms
        ))?;
    }
    output::line("ok: every rung answered")
}

fn first_collection(server: &Daemon) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct List {
        collections: Vec<CollectionView>,
    }
    let list: List = server.get(&["v1", "collections"], &[])?;
    let filled = list
        .collections
        .into_iter()
        .find(|collection| collection.counts.chunks > 0);
    filled
        .map(|collection| collection.name)
        .ok_or_else(|| Error::Argument {
            problem: "there is nothing to search in".to_owned(),
            remedy: "index a folder first: `embedder index PATH`".to_owned(),
        })
}

fn rate_limit(server: &Daemon) -> Result<()> {
    let guesser = server.with_key("emb_drilldrilldrill_guess");
    let (mut told, mut refused, mut honest) = (0, 0, 0);
    for guess in 0..GUESSES {
        match guesser.get::<Value>(&["v1", "whoami"], &[]) {
            Err(error) if error.code() == ErrorCode::RateLimited => refused += 1,
            Err(error) if error.code() == ErrorCode::Unauthenticated => told += 1,
            Err(error) => return Err(error),
            Ok(_) => return failed("a key that nobody made opens: is it `serve --no-auth`?"),
        }
        for _ in 0..HONEST / GUESSES {
            honest += u32::from(server.get::<Value>(&["v1", "whoami"], &[]).is_ok());
        }
        if guess + 1 == GUESSES {
            output::line(&format!(
                "{GUESSES} guessed keys: {told} told that they are wrong, {refused} told to wait"
            ))?;
        }
    }
    output::line(&format!(
        "{honest} of {HONEST} honest requests served beside them"
    ))?;
    if refused == 0 {
        return failed("nobody is told to wait: is `rate_limit.auth_failures_per_min` off?");
    }
    if honest * 100 < HONEST * 99 {
        return failed("an honest client suffers from one that guesses");
    }
    output::line("ok: abuse refused, the honest client served")
}

fn errors(server: &Daemon) -> Result<()> {
    let missing = server.get::<Value>(&["v1", "collections", "no-such-collection"], &[]);
    let unknown = server.post::<Value>(&["v1", "search"], &json!({"no_such_field": 1}));
    let empty = server.post::<Value>(&["v1", "search"], &json!({"query": ""}));
    let wrong = server
        .with_key("emb_drilldrilldrill_guess")
        .get::<Value>(&["v1", "whoami"], &[]);
    let expected: [(&str, Result<Value>, &[ErrorCode]); 4] = [
        (
            "a collection that is not there",
            missing,
            &[ErrorCode::NotFound],
        ),
        (
            "a field that is unknown",
            unknown,
            &[ErrorCode::InvalidRequest],
        ),
        ("an empty question", empty, &[ErrorCode::InvalidQuery]),
        (
            "a key that nobody made",
            wrong,
            &[ErrorCode::Unauthenticated, ErrorCode::RateLimited],
        ),
    ];
    for (what, answer, codes) in expected {
        match answer {
            Err(error) if codes.contains(&error.code()) => {
                output::line(&format!("{what}: {} ({error})", error.code().name()))?;
            }
            Err(error) => return failed(&format!("{what}: {}", error.code().name())),
            Ok(_) => return failed(&format!("{what} is answered")),
        }
    }
    let repair: RecoveryDrill = server.post(&["v1", "admin", "drills", "recovery"], &json!({}))?;
    output::line(&format!(
        "a repair, to {}: {}",
        repair.action, repair.outcome
    ))?;
    if repair.outcome != "recovered" {
        return failed("the repair did not help");
    }
    output::line("ok: each error has its code, and a repair works")
}

fn failed<T>(what: &str) -> Result<T> {
    Err(Error::Reported {
        code: ErrorCode::Unhealthy,
        message: what.to_owned(),
        remedy: None,
    })
}
