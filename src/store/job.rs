//! A job as the store keeps it.

use serde::{Deserialize, Serialize};

use super::SourceId;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for its turn, perhaps again after the server was stopped.
    Queued,
    /// It is being done.
    Running,
    /// It ended well.
    Done,
    /// It ended with an error.
    Failed,
    /// Somebody stopped it; what it did until then is kept.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the state of this name.
    pub fn from_name(name: &str) -> Option<JobState> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing will happen to the job any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A job: a source that is being indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id; ids sort by age.
    pub id: String,
    /// The name of the collection.
    pub collection: String,
    /// The source that is indexed.
    pub source: SourceId,
    /// Folders below its root that alone are indexed; all of it where there are none.
    pub within: Vec<String>,
    /// Whether vectors are computed as well.
    pub with_vectors: bool,
    /// How far it is.
    pub state: JobState,
    /// When it was asked for, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it was begun last.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub finished_ms: Option<u64>,
    /// What it did, as JSON, once it ended.
    pub report: Option<String>,
    /// The code and the message of the error it ended with.
    pub error: Option<(String, String)>,
}
