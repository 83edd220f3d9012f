//! Labels and all of their values.
//!
//! What a label says in two layers is an enum of its own here: this module knows none of the layers that count.

use crate::error::{ErrorCode, Full};

/// A value of a label.
pub trait Label: Copy {
    /// The label.
    const INFO: LabelInfo;

    /// Returns the position of the value among all values of the label.
    fn position(self) -> usize;
}

/// A label.
#[derive(Debug, Clone, Copy)]
pub struct LabelInfo {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// Where the values of a label come from.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// A set that the program text knows.
    Closed(fn() -> Vec<&'static str>),
    /// The route templates.
    Routes,
    /// The program's version.
    Version,
}

/// A route, by its position among the templates; [`Metrics::route`](super::Metrics::route) finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route(pub(super) usize);

/// The version of this program; there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version;

macro_rules! labels {
    ($(
        $(#[$meta:meta])+
        $type:ident = $label:literal {
            $($(#[$value_meta:meta])+ $variant:ident = $name:literal,)+
        }
    )+) => {$(
        $(#[$meta])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$value_meta])+ $variant,)+
        }

        impl $type {
            /// Every value.
            pub const ALL: &[$type] = &[$($type::$variant,)+];

            /// Returns the value as it is shown.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }

            /// Returns the value that is shown as this name.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }

        impl Label for $type {
            const INFO: LabelInfo = LabelInfo {
                name: $label,
                values: Values::Closed(|| vec![$($name,)+]),
            };

            fn position(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// What the server depends on.
    #[derive(PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    Dependency = "dependency" {
        /// The model and the threads that embed with it.
        Encoder = "encoder",
        /// A remote provider of embeddings.
        EmbeddingProvider = "embedding_provider",
        /// The database of what is indexed.
        ContentStore = "content_store",
        /// The database of keys and coordination.
        HubStore = "hub_store",
        /// The text index.
        LexicalIndex = "lexical_index",
        /// The vectors in memory.
        VectorIndex = "vector_index",
        /// The cache of answers.
        Cache = "cache",
        /// The disk of the data directory.
        Disk = "disk",
    }

    /// A status: its class, and by themselves the two that say that there is too much.
    Status = "status" {
        /// It went well.
        Success = "2xx",
        /// Look elsewhere, or at what you have.
        Redirection = "3xx",
        /// The client's mistake.
        ClientError = "4xx",
        /// The server's.
        ServerError = "5xx",
        /// This client asks too much.
        TooManyRequests = "429",
        /// All clients together ask too much, or the server is starting or ending.
        Unavailable = "503",
    }

    /// What answered a search.
    ServedBy = "served_by" {
        /// Words and vectors.
        Hybrid = "hybrid",
        /// Words.
        Text = "text",
        /// Vectors.
        Vector = "vector",
        /// The stored text, for this very text.
        Literal = "literal",
        /// The stored text, for a regular expression.
        Regex = "regex",
        /// The stored text, for the words of the question.
        Direct = "direct",
        /// An answer given before.
        Cached = "cached",
        /// Nothing: the answer says so.
        Minimal = "minimal",
    }

    /// Why an answer was less than was asked for.
    DegradationReason = "reason" {
        /// There is no model.
        ModelMissing = "model_missing",
        /// A scan reached its time limit.
        OutOfTime = "out_of_time",
        /// The query was not embedded in time.
        EmbedTimeout = "embed_timeout",
        /// The encoder refused or failed.
        EmbedUnavailable = "embed_unavailable",
        /// The vectors could not be compared.
        VectorIndexUnavailable = "vector_index_unavailable",
        /// The text index could not be searched.
        TextIndexUnavailable = "text_index_unavailable",
        /// The store could not be read.
        StoreUnavailable = "store_unavailable",
        /// There was more to do than could be done well.
        Overload = "overload",
        /// An operator switched something off.
        Manual = "manual",
        /// What failed works again, and is not relied on yet.
        Recovering = "recovering",
    }

    /// Whether the calls of a dependency pass.
    BreakerState = "state" {
        /// They pass.
        Closed = "closed",
        /// They are refused.
        Open = "open",
        /// A few pass, as probes.
        HalfOpen = "half_open",
    }

    /// Why a circuit breaker changed its state.
    TransitionReason = "reason" {
        /// Several requests failed in a row.
        ConsecutiveFailures = "consecutive_failures",
        /// Too many calls failed.
        FailureRate = "failure_rate",
        /// Too many calls were slow.
        SlowRate = "slow_rate",
        /// The dependency asked to be left alone for long.
        RetryAfter = "retry_after",
        /// The time it was to stay open has passed.
        Elapsed = "elapsed",
        /// Enough probes succeeded.
        ProbesSucceeded = "probes_succeeded",
        /// Too many probes failed.
        ProbesFailed = "probes_failed",
        /// Somebody decided it.
        Manual = "manual",
    }

    /// What became of a call.
    CallOutcome = "outcome" {
        /// It brought what it was made for.
        Success = "success",
        /// It failed.
        Failure = "failure",
        /// It took too long.
        Timeout = "timeout",
        /// The dependency had too much to do.
        Overload = "overload",
        /// The request was at fault.
        Ignored = "ignored",
        /// The breaker did not let it through.
        Refused = "refused",
        /// There was no room for it.
        Busy = "busy",
    }

    /// Why a failed call was not made again.
    RetryStop = "reason" {
        /// Trying again cannot help, or must not happen.
        NotRetryable = "not_retryable",
        /// It was refused before it was made.
        Refused = "refused",
        /// All attempts failed.
        Exhausted = "exhausted",
        /// Too many calls fail already.
        BudgetEmpty = "budget_empty",
        /// There was no time left.
        Deadline = "deadline",
    }

    /// How a repair ended.
    RecoveryOutcome = "outcome" {
        /// It works again.
        Recovered = "recovered",
        /// Some of it works again.
        PartialRecovery = "partial_recovery",
        /// It does not.
        RecoveryFailed = "recovery_failed",
        /// It was not tried: too often in too short a time.
        RetryLater = "retry_later",
    }

    /// A way in which the service is less than whole.
    DegradationMode = "mode" {
        /// Nothing is found by meaning.
        VectorSearch = "vector_search",
        /// Nothing is found by indexed words.
        TextIndex = "text_index",
        /// No answer is remembered.
        Caching = "caching",
        /// Neither words nor meaning.
        BothIndexes = "both_indexes",
        /// The store cannot be read.
        StoreReads = "store_reads",
        /// There is more to do than can be done well.
        Overload = "overload",
    }

    /// Who texts are embedded for.
    Lane = "lane" {
        /// Somebody who waits.
        Interactive = "interactive",
        /// Work that may take its time.
        Bulk = "bulk",
    }

    /// Why texts were dropped before they were embedded.
    DropReason = "reason" {
        /// Nobody waits for them any more.
        Cancelled = "cancelled",
        /// Their deadline passed.
        Expired = "expired",
        /// The encoder panicked on their batch.
        Panicked = "panicked",
        /// The server ended.
        Stopped = "stopped",
    }

    /// What was full when work was refused.
    ShedReason = "reason" {
        /// All was taken, and the caller had its share.
        Taken = "taken",
        /// As many waited to be let in as may.
        Waiting = "waiting",
        /// The turn did not come in time.
        WaitedTooLong = "waited_too_long",
        /// The embedding queue.
        EmbedQueue = "embed_queue",
        /// The searches that wait for a thread.
        SearchQueue = "search_queue",
        /// Other work that waits for a thread.
        WorkQueue = "work_queue",
        /// The jobs that wait.
        JobQueue = "job_queue",
        /// The calls of a dependency.
        Bulkhead = "bulkhead",
        /// The documents that wait for vectors which could not be made.
        PendingVectors = "pending_vectors",
        /// Memory.
        Memory = "memory",
        /// Things of which the caller had enough.
        OfOneCaller = "of_one_caller",
    }

    /// What is counted by a limit.
    LimitLayer = "layer" {
        /// Requests without a key, by address.
        Address = "address",
        /// Wrong keys, by address.
        AuthFailures = "auth_failures",
        /// Units of work, by key.
        Key = "key",
        /// Units of work, by tenant.
        Tenant = "tenant",
        /// Units of searching.
        Search = "search",
        /// Units of embedding.
        Embed = "embed",
        /// Units of writing.
        Write = "write",
        /// All units.
        All = "all",
    }

    /// A kind of work that has a door.
    Door = "door" {
        /// Searches.
        Search = "search",
        /// Texts to be embedded while somebody waits.
        Embed = "embed",
        /// Texts to be embedded that may take their time.
        BulkEmbed = "bulk_embed",
        /// Documents to be written.
        Write = "write",
    }

    /// Why a connection was not accepted.
    RefuseReason = "reason" {
        /// There are as many as there may be.
        Total = "total",
        /// There are as many of its address as there may be.
        Address = "address",
        /// The operating system gave none.
        Accept = "accept",
    }

    /// Why a connection ended.
    CloseReason = "reason" {
        /// The client closed it, or asked for it.
        Client = "client",
        /// There was no request for too long.
        Idle = "idle",
        /// Nothing was sent at all.
        FirstByte = "first_byte",
        /// The head of a request took too long.
        Header = "header",
        /// The client did not take its answer.
        WriteStall = "write_stall",
        /// There was no handshake of TLS, or it failed.
        Tls = "tls",
        /// What was sent is not HTTP, or is too large.
        Protocol = "protocol",
        /// The server is ending.
        Shutdown = "shutdown",
    }

    /// Why a key was not accepted.
    AuthFailure = "reason" {
        /// There was none.
        Missing = "missing",
        /// It does not look like a key.
        Malformed = "malformed",
        /// Nobody made it.
        Unknown = "unknown",
        /// Its time is over.
        Expired = "expired",
        /// It was taken back.
        Revoked = "revoked",
        /// It lacks the scope.
        Scope = "scope",
        /// It is not for this collection.
        Collection = "collection",
        /// Its address has failed too often.
        Throttled = "throttled",
    }

    /// How far a job is that has not ended.
    JobState = "state" {
        /// It waits for its turn.
        Queued = "queued",
        /// It is being done.
        Running = "running",
    }

    /// How a job ended.
    JobOutcome = "outcome" {
        /// Well.
        Done = "done",
        /// With an error.
        Failed = "failed",
        /// Somebody stopped it.
        Cancelled = "cancelled",
    }
}

impl From<Full> for ShedReason {
    fn from(full: Full) -> ShedReason {
        match full {
            Full::Taken => ShedReason::Taken,
            Full::Waiting => ShedReason::Waiting,
            Full::WaitedTooLong => ShedReason::WaitedTooLong,
            Full::EmbedQueue => ShedReason::EmbedQueue,
            Full::SearchQueue => ShedReason::SearchQueue,
            Full::WorkQueue => ShedReason::WorkQueue,
            Full::JobQueue => ShedReason::JobQueue,
            Full::Bulkhead => ShedReason::Bulkhead,
            Full::PendingVectors => ShedReason::PendingVectors,
            Full::Memory => ShedReason::Memory,
            Full::OfOneCaller => ShedReason::OfOneCaller,
        }
    }
}

impl Status {
    /// Returns the label of a status code; a code that HTTP does not have is the server's mistake.
    pub fn of(code: u16) -> Status {
        match code {
            429 => Status::TooManyRequests,
            503 => Status::Unavailable,
            100..300 => Status::Success,
            300..400 => Status::Redirection,
            400..500 => Status::ClientError,
            _ => Status::ServerError,
        }
    }
}

impl Label for ErrorCode {
    const INFO: LabelInfo = LabelInfo {
        name: "code",
        values: Values::Closed(|| ErrorCode::ALL.iter().map(|code| code.name()).collect()),
    };

    fn position(self) -> usize {
        self as usize
    }
}

impl Label for Route {
    const INFO: LabelInfo = LabelInfo {
        name: "route",
        values: Values::Routes,
    };

    fn position(self) -> usize {
        self.0
    }
}

impl Label for Version {
    const INFO: LabelInfo = LabelInfo {
        name: "version",
        values: Values::Version,
    };

    fn position(self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_values() {
        fn check<L: Label>(all: &[L], name: impl Fn(L) -> &'static str) {
            let Values::Closed(values) = L::INFO.values else {
                panic!("a closed set")
            };
            let values = values();
            assert_eq!(values.len(), all.len());
            for value in all {
                assert_eq!(values[value.position()], name(*value));
            }
        }
        check(Dependency::ALL, Dependency::name);
        check(Status::ALL, Status::name);
        check(CloseReason::ALL, CloseReason::name);
        check(ErrorCode::ALL, ErrorCode::name);
    }

    #[test]
    fn names_lead_back_to_their_values() {
        for value in ServedBy::ALL {
            assert_eq!(ServedBy::from_name(value.name()), Some(*value));
        }
        assert_eq!(ServedBy::from_name("oracle"), None);
    }

    #[test]
    fn a_dependency_has_one_name_everywhere() {
        for dependency in Dependency::ALL {
            let json = serde_json::to_value(dependency).unwrap();
            assert_eq!(json, dependency.name());
        }
    }

    #[test]
    fn the_two_busy_statuses_are_told_from_their_classes() {
        for (code, expected) in [
            (200, "2xx"),
            (206, "2xx"),
            (304, "3xx"),
            (404, "4xx"),
            (429, "429"),
            (499, "4xx"),
            (500, "5xx"),
            (503, "503"),
            (504, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(Status::of(code).name(), expected, "{code}");
        }
    }
}
