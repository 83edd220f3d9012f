//! What a connection may take: how long, how much, how many.

use std::time::Duration;

/// Connections at once. Each costs some 20 kB and a file descriptor of the many thousand that a service is given.
const CONNECTIONS_MAX: usize = 4_096;

/// Connections of one address, or of one IPv6 network of 64 bits, at once: a quarter, so that it takes several
/// addresses to fill the server, and yet a proxy or a host full of agents has enough.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_024;

/// The handshake of TLS: two round trips, even over a satellite.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first byte of a connection. Browsers open connections ahead of need and use them within seconds, or not at all.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// A request's head, from its first byte to its last: one packet as a rule.
const HEADER: Duration = Duration::from_secs(10);

/// The pause between two requests. Longer than the 60 s after which most clients and proxies give a connection up
/// themselves: a server that closes first may close on a request that is on its way.
const IDLE: Duration = Duration::from_secs(75);

/// A client that takes none of its answer. Longer than TCP needs to recover from a lost link.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// The line and the fields of a request's head. Keys, traces and cookies together stay below 4 kB.
const HEADER_BYTES_MAX: usize = 16 * 1_024;

/// The fields of a request's head. hyper keeps this many on the stack and would allocate for any other number.
const HEADERS_MAX: usize = HYPER_HEADERS_MAX;

/// Requests at once over one connection of HTTP/2, the least that RFC 9113 advises to allow being 100.
const STREAMS_MAX: u32 = 128;

/// How often a quiet connection of HTTP/2 is asked whether its client is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long the answer to that may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that a client cancelled before they were even begun, as a flood of resets does. The default of h2.
const PENDING_RESETS_MAX: usize = 20;

/// Requests that were cancelled by us because of the client's mistakes. Far more than a client that works ever makes.
const LOCAL_RESETS_MAX: usize = 128;

/// The number of fields for which hyper has room on the stack.
pub(super) const HYPER_HEADERS_MAX: usize = 100;

/// The smallest buffer that hyper accepts.
pub(super) const HYPER_BUFFER_MIN: usize = 8 * 1_024;

/// How long a closed connection goes on reading what its client still sends. A socket that is closed with unread bytes
/// resets the connection, and the client may lose the answer with it (RFC 9112, section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The limits of the connections of a [`Listener`](super::Listener).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections of one IPv4 address, or of one IPv6 network of 64 bits, at once.
    pub connections_per_address_max: usize,
    /// The longest handshake of TLS.
    pub handshake: Duration,
    /// The longest wait for the first byte.
    pub first_byte: Duration,
    /// The longest time from the first byte of a request's head to its end.
    pub header: Duration,
    /// The longest pause between two requests.
    pub idle: Duration,
    /// The longest time in which a client takes none of its answer.
    pub write_stall: Duration,
    /// The bytes of a request's head; 8 KiB at least.
    pub header_bytes_max: usize,
    /// The fields of a request's head.
    pub headers_max: usize,
    /// Requests at once over one connection of HTTP/2.
    pub streams_max: u32,
    /// The pause after which a client of HTTP/2 is asked whether it is still there.
    pub ping_interval: Duration,
    /// The longest wait for its answer.
    pub ping_timeout: Duration,
    /// Requests cancelled by a client of HTTP/2 before they were begun.
    pub pending_resets_max: usize,
    /// Requests of a client of HTTP/2 that we cancelled because of its mistakes.
    pub local_resets_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            handshake: HANDSHAKE,
            first_byte: FIRST_BYTE,
            header: HEADER,
            idle: IDLE,
            write_stall: WRITE_STALL,
            header_bytes_max: HEADER_BYTES_MAX,
            headers_max: HEADERS_MAX,
            streams_max: STREAMS_MAX,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            pending_resets_max: PENDING_RESETS_MAX,
            local_resets_max: LOCAL_RESETS_MAX,
        }
    }
}
