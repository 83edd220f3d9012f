//! What somebody decides about a breaker by hand.

use crate::Timestamp;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManualMode {
    /// All calls are refused.
    ForcedOpen,
    /// All calls pass.
    ForcedClosed,
    /// All calls pass and are measured.
    MetricsOnly,
}

impl ManualMode {
    /// Every mode.
    pub const ALL: [ManualMode; 3] = [Self::ForcedOpen, Self::ForcedClosed, Self::MetricsOnly];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            ManualMode::ForcedOpen => "forced_open",
            ManualMode::ForcedClosed => "forced_closed",
            ManualMode::MetricsOnly => "metrics_only",
        }
    }
}

/// What was decided, and until when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manual {
    /// What.
    pub mode: ManualMode,
    /// Until when. Then the breaker decides by itself again.
    pub until: Timestamp,
}
