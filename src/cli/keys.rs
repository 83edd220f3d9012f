//! `embedder keys`.

use serde::de::IgnoredAny;
use serde_json::json;

use super::offline::{self, OfflineHub};
use super::{Context, output, served};
use crate::clock::now_ms;
use crate::engine::access::{CreatedKey, KeyLimit, KeyList, KeyView, LocalKey, NewKey, Scopes};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the key of this machine's owner, which may do everything.
    Local,
    /// Make a key, and print it: once, and never again.
    Create(Create),
    /// List the keys, without what opens anything.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a key at once.
    Revoke {
        /// Its id: the middle part of the key.
        id: String,
    },
    /// Make a key with the rights of another, which ends after a while.
    Rotate {
        /// The id of the other: the middle part of the key.
        id: String,
        /// How long both are good, in hours.
        #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u64).range(..=HOURS_MAX))]
        overlap_hours: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What to call it, for example who uses it.
    name: String,
    /// What it may do, for example `search`; repeatable, or several between commas.
    #[arg(
        long,
        required = true,
        value_name = "SCOPE",
        value_delimiter = ',',
        long_help = "What it may do; repeatable, or several between commas: `embed`, `search`, `collections:read`, \
                     `collections:write`, `sources:write`, `ops:read`, `admin:keys`, `admin:roots`, `admin:audit`, `admin:breakers`, or \
                     `admin`, which is all of them."
    )]
    scope: Vec<String>,
    /// A collection that it sees; repeatable [default: all].
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    /// On whose behalf it acts.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// After how many days it ends [default: never].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
    expires_days: Option<u64>,
    /// Units of work that it may ask for in a second [default: as the settings say].
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        long_help = "Units of work that it may ask for in a second: a search is one, a text to embed one and one for 256 \
                     tokens, a document ten [default: rate_limit.key_per_s of the settings]."
    )]
    per_second: Option<u32>,
    /// How many of them at once [default: those of a second].
    #[arg(long, requires = "per_second", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    burst: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A century: more is a slip of the finger.
const DAYS_MAX: u64 = 36_500;

/// Thirty days: a change that takes longer is none.
const HOURS_MAX: u64 = 30 * 24;

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    match args.command {
        Command::Local => {
            let key = LocalKey::read(&context.config.data_dir)?;
            output::line(&key.token().expose())
        }
        Command::Create(new) => create(context, new),
        Command::List { json } => list(context, json),
        Command::Revoke { id } => {
            revoke(context, &id)?;
            output::line(&format!("the key {id} opens nothing from now on"))
        }
        Command::Rotate {
            id,
            overlap_hours,
            json,
        } => rotate(context, &id, overlap_hours, json),
    }
}

fn create(context: &Context, args: Create) -> Result<()> {
    let new = NewKey {
        name: args.name,
        scopes: Scopes::from_names(args.scope.iter().map(String::as_str))?,
        collections: (!args.collection.is_empty()).then(|| args.collection.into_iter().collect()),
        tenant: args.tenant,
        expires_ms: args
            .expires_days
            .map(|days| now_ms().saturating_add(days * DAY_MS)),
        rate_limit: args.per_second.map(|per_s| KeyLimit {
            per_s,
            burst: args.burst,
        }),
    };
    let made: CreatedKey = match served::find(context)? {
        Some(server) => server.post(
            &["v1", "admin", "keys"],
            &json!({
                "name": new.name,
                "scopes": args.scope,
                "collections": new.collections,
                "tenant": new.tenant,
                "expires_ms": new.expires_ms,
                "rate_limit": new.rate_limit,
            }),
        )?,
        None => {
            let mut hub = OfflineHub::open(&context.config)?;
            let made = hub.create_key(&new);
            hub.close()?;
            made?.into()
        }
    };
    print_made(&made, args.json)
}

fn rotate(context: &Context, id: &str, overlap_hours: u64, as_json: bool) -> Result<()> {
    let overlap_ms = overlap_hours * HOUR_MS;
    let made: CreatedKey = match served::find(context)? {
        Some(server) => server.post(
            &["v1", "admin", "keys", id, "rotate"],
            &json!({"overlap_s": overlap_ms / 1_000}),
        )?,
        None => {
            let mut hub = OfflineHub::open(&context.config)?;
            let made = hub.rotate_key(id, overlap_ms);
            hub.close()?;
            made?.into()
        }
    };
    print_made(&made, as_json)
}

fn revoke(context: &Context, id: &str) -> Result<()> {
    if let Some(server) = served::find(context)? {
        let _: IgnoredAny = server.delete(&["v1", "admin", "keys", id])?;
        return Ok(());
    }
    let mut hub = OfflineHub::open(&context.config)?;
    let revoked = hub.revoke_key(id);
    hub.close()?;
    revoked
}

fn list(context: &Context, as_json: bool) -> Result<()> {
    let list: KeyList = match served::find(context)? {
        Some(server) => server.get(&["v1", "admin", "keys"], &[])?,
        None => {
            let rows = match offline::read(&context.config)? {
                Some(db) => db.keys()?,
                None => Vec::new(),
            };
            KeyList {
                keys: rows.into_iter().map(KeyView::from).collect(),
            }
        }
    };
    if as_json {
        return output::json(&list);
    }
    if list.keys.is_empty() {
        return output::line("there are no keys yet: `embedder keys create` makes one");
    }
    let now = now_ms();
    list.keys
        .iter()
        .try_for_each(|key| output::line(&output::printable(&described(key, now))))
}

/// Prints the token on standard output, so that a script can take it, and what it is beside it.
fn print_made(made: &CreatedKey, as_json: bool) -> Result<()> {
    if as_json {
        output::json(made)?;
    } else {
        output::line(&made.token)?;
        output::note(&output::printable(&described(&made.key, now_ms())));
    }
    output::note(
        "note: the key is shown only now, and is kept nowhere: store it where it is needed",
    );
    Ok(())
}

/// Describes a key in one line.
fn described(key: &KeyView, now_ms: u64) -> String {
    let mut parts = vec![
        key.id.clone(),
        key.name.clone(),
        format!("may: {}", key.scopes.join(", ")),
    ];
    if let Some(names) = &key.collections {
        parts.push(format!("sees: {}", names.join(", ")));
    }
    if let Some(tenant) = &key.tenant {
        parts.push(format!("for: {tenant}"));
    }
    if let Some(limit) = &key.rate_limit {
        let burst = limit.burst.map(|burst| format!(", {burst} at once"));
        parts.push(format!(
            "limit: {} a second{}",
            limit.per_s,
            burst.unwrap_or_default()
        ));
    }
    parts.push(format!("made {}", output::timestamp(key.created_ms)));
    if let Some(at_ms) = key.last_used_ms {
        parts.push(format!("last used {}", output::timestamp(at_ms)));
    }
    match (key.revoked_ms, key.expires_ms) {
        (Some(at_ms), _) => parts.push(format!("revoked {}", output::timestamp(at_ms))),
        (None, Some(at_ms)) if at_ms <= now_ms => {
            parts.push(format!("expired {}", output::timestamp(at_ms)));
        }
        (None, Some(at_ms)) => parts.push(format!("expires {}", output::timestamp(at_ms))),
        (None, None) => {}
    }
    if let Some(id) = &key.replaced_by {
        parts.push(format!("replaced by {id}"));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(expires_ms: Option<u64>, revoked_ms: Option<u64>) -> KeyView {
        KeyView {
            id: "0123456789ab".to_owned(),
            name: "ci".to_owned(),
            scopes: vec!["embed".to_owned(), "search".to_owned()],
            collections: Some(vec!["docs".to_owned()]),
            tenant: None,
            rate_limit: None,
            created_ms: 0,
            expires_ms,
            revoked_ms,
            last_used_ms: None,
            replaced_by: None,
        }
    }

    #[test]
    fn a_key_is_described_with_how_it_stands() {
        let check = |expires_ms: Option<u64>, revoked_ms: Option<u64>, expected: &str| {
            let made =
                "0123456789ab  ci  may: embed, search  sees: docs  made 1970-01-01T00:00:00Z";
            let described = described(&key(expires_ms, revoked_ms), 5_000);
            assert_eq!(described, format!("{made}{expected}"));
        };
        check(None, None, "");
        check(Some(6_000), None, "  expires 1970-01-01T00:00:06Z");
        check(Some(5_000), None, "  expired 1970-01-01T00:00:05Z");
        check(Some(6_000), Some(4_000), "  revoked 1970-01-01T00:00:04Z");
    }

    #[test]
    fn a_key_is_described_with_its_own_limit() {
        for (burst, expected) in [
            (None, "  limit: 10 a second  made"),
            (Some(20), "  limit: 10 a second, 20 at once  made"),
        ] {
            let key = KeyView {
                rate_limit: Some(KeyLimit { per_s: 10, burst }),
                ..key(None, None)
            };
            let described = described(&key, 0);
            assert!(described.contains(expected), "{described}");
        }
    }
}
