//! What a commit says beside its documents: the version, and the last operation it holds.

use std::fmt;

use crate::{error::Error, lexical::VERSION};

/// Marks a payload as ours.
const NAME: &str = "embedder-lexical";

/// The payload of a commit: `embedder-lexical VERSION APPLIED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) applied: u64,
}

impl Payload {
    /// Reads the payload of a commit. An index that was created and never committed has none, and holds nothing.
    pub(super) fn of(text: Option<&str>, is_empty: bool) -> Result<Self, Error> {
        match text {
            Some(text) => Self::parse(text),
            None if is_empty => Ok(Self { applied: 0 }),
            None => Err(Error::damaged("it holds documents but does not say which")),
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let damaged = || Error::damaged(format!("its commit says {text:?}"));
        let [NAME, version, applied] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(damaged());
        };
        if version != VERSION.to_string() {
            return Err(Error::VersionMismatch {
                found: version.to_owned(),
                expected: VERSION,
            });
        }
        Ok(Self {
            applied: applied.parse().map_err(|_| damaged())?,
        })
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} {VERSION} {}", self.applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_it_was_written() {
        for applied in [0, 1, 42, u64::MAX] {
            let payload = Payload { applied };
            assert_eq!(
                Payload::of(Some(&payload.to_string()), false).unwrap(),
                payload
            );
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let other = format!("{NAME} {} 7", VERSION + 1);
        assert!(
            matches!(Payload::parse(&other), Err(Error::VersionMismatch { found, .. }) if found == "2")
        );
        for damaged in [
            "",
            "embedder-lexical",
            "embedder-lexical 1 x",
            "embedder-lexical 1 1 1",
            "other 1 1",
        ] {
            assert!(
                matches!(Payload::parse(damaged), Err(Error::Damaged { .. })),
                "{damaged}"
            );
        }
    }

    #[test]
    fn only_an_empty_index_may_lack_a_payload() {
        assert_eq!(Payload::of(None, true).unwrap(), Payload { applied: 0 });
        assert!(matches!(
            Payload::of(None, false),
            Err(Error::Damaged { .. })
        ));
    }
}
