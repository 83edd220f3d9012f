//! What the audit log tells: who changed what, and who was refused.
//!
//! Acts are recorded one by one, in the transaction that does them. Refusals come from anybody, as often as they like,
//! so they are counted, and the counts are recorded every few seconds. What is counted by is bounded in number and in
//! length: who is refused chooses nothing that is written down.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::access::AuthError;
use crate::store::sqlite::hub::{KIND_ARCHIVED, KIND_BUDGET_LOW, NewAuditRecord, OUTCOME_DONE};

/// Refusals that are told apart between two records; the others are counted together. Thousands of addresses that
/// attack at once need no line each.
pub const DENIALS_MAX: usize = 1_024;

/// Who was refused, where the request showed no key that there is.
const ACTOR_NOBODY: &str = "nobody";

/// How a request ended that was refused.
const OUTCOME_REFUSED: &str = "refused";

macro_rules! names {
    ($(#[doc = $about:literal])+ $type:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:expr,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $type {
            /// Every one, in the order of the documentation.
            pub const ALL: &[$type] = &[$($type::$variant,)+];

            /// Returns its stable name.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }
        }
    };
}

names! {
    /// What is recorded.
    AuditKind {
        /// A key was made.
        KeyCreated = "key.created",
        /// A key took the place of another.
        KeyRotated = "key.rotated",
        /// A key was revoked.
        KeyRevoked = "key.revoked",
        /// A folder may be indexed from now on.
        RootAdded = "root.added",
        /// A folder may no longer be indexed.
        RootRemoved = "root.removed",
        /// A collection was made.
        CollectionCreated = "collection.created",
        /// A collection was deleted with all that is in it.
        CollectionDeleted = "collection.deleted",
        /// A folder feeds a collection from now on.
        SourceAdded = "source.added",
        /// A folder no longer feeds a collection.
        SourceRemoved = "source.removed",
        /// A job was stopped before its end.
        JobCancelled = "job.cancelled",
        /// A browser was let in.
        SessionOpened = "session.opened",
        /// Somebody decided about a circuit breaker by hand.
        BreakerForced = "breaker.forced",
        /// Somebody switched a part of the service off, or on again.
        DegradationForced = "degradation.forced",
        /// The server started.
        ServerStarted = "server.started",
        /// The server ended in good order.
        ServerStopped = "server.stopped",
        /// The records before were moved to a file.
        AuditArchived = KIND_ARCHIVED,
        /// What remains of the log's budget is kept for acts.
        AuditBudgetLow = KIND_BUDGET_LOW,
        /// Requests were refused: so many of one kind.
        Denied = "denied",
    }
}

names! {
    /// Why a request was refused.
    DenialReason {
        /// It showed no key.
        NoKey = "no_key",
        /// What it showed is not spelled as a key.
        MalformedKey = "malformed_key",
        /// No key has that id and that secret; where the record names a key, the id is its own.
        UnknownKey = "unknown_key",
        /// The key has expired.
        ExpiredKey = "expired_key",
        /// The key was revoked.
        RevokedKey = "revoked_key",
        /// The key may not do this.
        Scope = "scope",
        /// The key does not see this collection.
        Collection = "collection",
        /// A change in a browser's session came without the token of the session's pages.
        Csrf = "csrf",
        /// The request names another server.
        Misdirected = "misdirected",
        /// A browser sent it on behalf of another site.
        CrossSite = "cross_site",
    }
}

/// A request that was refused, as far as refusals are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// Why.
    pub reason: DenialReason,
    /// The id of the key that was shown, if there is such a key.
    pub key_id: Option<String>,
    /// Where it came from, by [`address_prefix`].
    pub address_prefix: String,
    /// The template of the route, not the path that was asked for.
    pub route: &'static str,
}

/// Counts refusals. One for each server, shared by all requests.
#[derive(Debug, Default)]
pub struct Auditor {
    denials: Mutex<Denials>,
}

#[derive(Debug, Default)]
struct Denials {
    counts: BTreeMap<Denial, u64>,
    /// Those that came when the table was full.
    others: u64,
}

impl AuditKind {
    /// Makes the record of an act that was done, to be written in the transaction that does it.
    ///
    /// `actor` is [`Principal::actor`](super::access::Principal::actor) or
    /// [`ACTOR_SERVER`](crate::store::sqlite::hub::ACTOR_SERVER). What else is to be known is added by
    /// [`NewAuditRecord::with_detail`].
    pub fn record(self, at_ms: u64, actor: &str, subject: &str) -> NewAuditRecord {
        NewAuditRecord {
            at_ms,
            kind: self.name(),
            actor: actor.to_owned(),
            subject: subject.to_owned(),
            outcome: OUTCOME_DONE,
            detail: "{}".to_owned(),
            is_aggregate: false,
        }
    }
}

impl From<AuthError> for DenialReason {
    fn from(error: AuthError) -> DenialReason {
        match error {
            AuthError::Malformed => DenialReason::MalformedKey,
            AuthError::Unknown | AuthError::WrongSecret(_) => DenialReason::UnknownKey,
            AuthError::Expired(_) => DenialReason::ExpiredKey,
            AuthError::Revoked(_) => DenialReason::RevokedKey,
        }
    }
}

impl Auditor {
    /// Starts with nothing counted.
    pub fn new() -> Auditor {
        Auditor::default()
    }

    /// Counts a refusal.
    pub fn note_denial(&self, denial: Denial) {
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = denials.counts.len() >= DENIALS_MAX;
        if let Some(count) = denials.counts.get_mut(&denial) {
            *count += 1;
        } else if is_full {
            denials.others += 1;
        } else {
            denials.counts.insert(denial, 1);
        }
    }

    /// Returns what was refused since the last call, to be appended to the log; called every ten seconds and once at
    /// the end. At most [`DENIALS_MAX`] records and one for all others. They are aggregated: the log may leave them out
    /// when its budget is low.
    pub fn take_denials(&self, now_ms: u64) -> Vec<NewAuditRecord> {
        let Denials { counts, others } = {
            let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *denials)
        };
        let told = counts.into_iter().map(|(denial, count)| {
            let actor = match &denial.key_id {
                Some(id) => format!("key:{id}"),
                None => ACTOR_NOBODY.to_owned(),
            };
            let detail = json!({
                "reason": denial.reason.name(),
                "address": denial.address_prefix,
                "count": count,
            });
            denied(now_ms, &actor, denial.route, &detail)
        });
        let rest = (others > 0).then(|| {
            let detail = json!({ "reason": "other", "count": others });
            denied(now_ms, ACTOR_NOBODY, "other", &detail)
        });
        told.chain(rest).collect()
    }
}

/// Returns the network of an address, which is what the audit log keeps of it: the first 24 bits of IPv4, the first 48
/// of IPv6. An IPv4 address in the clothes of IPv6 is the former.
pub fn address_prefix(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

fn denied(at_ms: u64, actor: &str, subject: &str, detail: &Value) -> NewAuditRecord {
    NewAuditRecord {
        outcome: OUTCOME_REFUSED,
        is_aggregate: true,
        ..AuditKind::Denied.record(at_ms, actor, subject)
    }
    .with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::super::access::KeyId;
    use super::*;

    fn denial(address: [u8; 4], reason: DenialReason) -> Denial {
        Denial {
            reason,
            key_id: None,
            address_prefix: address_prefix(address.into()),
            route: "/v1/search",
        }
    }

    fn detail(record: &NewAuditRecord) -> Value {
        serde_json::from_str(&record.detail).unwrap()
    }

    fn total(records: &[NewAuditRecord]) -> u64 {
        let count = |record| detail(record)["count"].as_u64().unwrap();
        records.iter().map(count).sum()
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = AuditKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), AuditKind::ALL.len());
        let mut names: Vec<_> = DenialReason::ALL
            .iter()
            .map(|reason| reason.name())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DenialReason::ALL.len());
    }

    #[test]
    fn an_address_is_told_by_its_network() {
        let check = |address: &str, expected: &str| {
            assert_eq!(address_prefix(address.parse().unwrap()), expected);
        };
        check("203.0.113.77", "203.0.113.0/24");
        check("127.0.0.1", "127.0.0.0/24");
        check("::ffff:203.0.113.77", "203.0.113.0/24");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48");
        check("::1", "::/48");
    }

    #[test]
    fn refusals_of_one_kind_are_one_record() {
        let auditor = Auditor::new();
        for last in 0..5 {
            auditor.note_denial(denial([10, 0, 0, last], DenialReason::NoKey));
        }
        auditor.note_denial(denial([10, 0, 1, 0], DenialReason::NoKey));
        auditor.note_denial(denial([10, 0, 0, 0], DenialReason::CrossSite));
        let records = auditor.take_denials(7);
        assert_eq!(records.len(), 3);
        let first = &records[0];
        assert_eq!(
            (first.kind, first.outcome, first.at_ms),
            ("denied", "refused", 7)
        );
        assert_eq!(
            (first.actor.as_str(), first.subject.as_str()),
            ("nobody", "/v1/search")
        );
        let expected = json!({ "reason": "no_key", "address": "10.0.0.0/24", "count": 5 });
        assert_eq!(detail(first), expected);
        assert!(records.iter().all(|record| record.is_aggregate));
        assert_eq!(total(&records), 7);
        assert!(auditor.take_denials(8).is_empty());
    }

    #[test]
    fn a_key_is_named_where_there_is_one() {
        let auditor = Auditor::new();
        let id = KeyId::parse("0123456789ab").unwrap();
        auditor.note_denial(Denial {
            key_id: AuthError::Expired(id).key_id().map(|id| id.to_string()),
            ..denial([10, 0, 0, 1], AuthError::Expired(id).into())
        });
        let records = auditor.take_denials(7);
        assert_eq!(records[0].actor, "key:0123456789ab");
        assert_eq!(detail(&records[0])["reason"], "expired_key");
    }

    #[test]
    fn what_does_not_fit_is_counted_together() {
        let auditor = Auditor::new();
        let noted = DENIALS_MAX as u64 + 100;
        for number in 0..noted {
            let [.., high, low] = number.to_be_bytes();
            auditor.note_denial(denial([10, high, low, 1], DenialReason::NoKey));
        }
        // What is told apart already is counted as before.
        auditor.note_denial(denial([10, 0, 0, 1], DenialReason::NoKey));
        let records = auditor.take_denials(7);
        assert_eq!(records.len(), DENIALS_MAX + 1);
        assert_eq!(total(&records), noted + 1);
        assert_eq!(detail(&records[0])["count"], 2);
        let rest = &records[DENIALS_MAX];
        assert_eq!(detail(rest), json!({ "reason": "other", "count": 100 }));
        assert!(rest.is_aggregate);
        // There is room again.
        auditor.note_denial(denial([10, 200, 0, 1], DenialReason::NoKey));
        assert_eq!(auditor.take_denials(8).len(), 1);
    }

    #[test]
    fn the_largest_record_of_a_refusal_fits_many_times_into_the_budget() {
        let auditor = Auditor::new();
        auditor.note_denial(Denial {
            reason: DenialReason::MalformedKey,
            key_id: Some("0123456789ab".to_owned()),
            address_prefix: address_prefix("ffff:ffff:ffff::".parse().unwrap()),
            route: "/v1/collections/{collection}/documents/{document}",
        });
        let record = &auditor.take_denials(u64::MAX)[0];
        let len = record.actor.len() + record.subject.len() + record.detail.len();
        assert!(len < 256, "{len}");
    }
}
