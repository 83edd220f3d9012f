//! Keys as they are shown: by the server, and by commands with and without one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{KeyLimit, Token};
use crate::store::sqlite::hub::KeyRow;

/// A key, without what opens anything.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id, the middle part of its token.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The collections it sees; all where there is no list.
    pub collections: Option<Vec<String>>,
    /// On whose behalf it acts.
    pub tenant: Option<String>,
    /// What it may ask; as the settings say where there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<KeyLimit>,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it ends.
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
    /// When it was used last, to within ten seconds.
    pub last_used_ms: Option<u64>,
    /// The key that took its place.
    pub replaced_by: Option<String>,
}

/// A key that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// What the client shows. It is nowhere else: it cannot be asked for again.
    pub token: String,
    /// The key.
    pub key: KeyView,
}

/// Keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// Oldest first.
    pub keys: Vec<KeyView>,
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> KeyView {
        KeyView {
            rate_limit: KeyLimit::of(&row),
            id: row.id,
            name: row.name,
            scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
            collections: row.collections,
            tenant: row.tenant,
            created_ms: row.created_ms,
            expires_ms: row.expires_ms,
            revoked_ms: row.revoked_ms,
            last_used_ms: row.last_used_ms,
            replaced_by: row.replaced_by,
        }
    }
}

impl From<(Token, KeyRow)> for CreatedKey {
    fn from((token, row): (Token, KeyRow)) -> CreatedKey {
        CreatedKey {
            token: token.expose(),
            key: row.into(),
        }
    }
}
