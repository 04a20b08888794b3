//! The way out: names to addresses, addresses to connections, connections to TLS. And the clock, because waiting is
//! the other thing that touches the world.
//!
//! What it owns
//! - [`Resolver`]: DNS look-ups. [`DnsResolver`] asks name servers, [`CachedResolver`] keeps answers for their TTL and
//!   asks each question once at a time, [`StaticResolver`] answers tests from memory. [`open_resolver`] makes the one
//!   that the program runs on.
//! - [`mail_hosts`]: where a domain's mail goes (RFC 5321 section 5.1, RFC 7505); [`mail_host_tlsa`]: what the DNS says of a
//!   mail host's certificate (RFC 7672 section 2.2).
//! - [`Guard`] and [`dial`]: the only place where outbound connections are opened, and the check that they do not go
//!   to private networks unless `net.allow` says so.
//! - [`Fetcher`]: one file over HTTP from an address that somebody else wrote, guarded and bounded.
//! - [`Tls`]: the client side of TLS, and what a certificate must be ([`Demand`]): anything, valid, or named by the DNS
//!   ([`dane_usable`]).
//! - [`StsPolicy`]: MTA-STS policies, read and fetched; [`report_addresses`]: who wants reports of failed TLS.
//! - [`proxy_header`]: what a connection by a proxy of ours begins with.
//! - [`Clock`]: the time, real or a test's.
//!
//! Invariants
//! - The address that was checked is the address that is dialled: names are resolved before, never by the dial.
//! - A failed look-up (time-out, SERVFAIL) is *deferred*: never read as "no such record", so never a reason to fall
//!   back to A records or to give up a recipient.
//! - An answer is *secure* only when it is proven; one that is proven to be wrong is deferred, never used unproven.
//! - The cache and the number of concurrent look-ups are bounded.
//! - The TLS provider is named in each configuration; the process-wide default is never asked for.
//!
//! Neighbours: imports `address`; `mta`, `content`, `routes`, `feedback`, `delivery` and `archive` reach the network
//! through it only.

mod cidr;
mod clock;
mod dane;
mod dial;
mod dns;
mod fetch;
mod guard;
mod proxy;
mod shifted;
mod sts;
mod tls;
mod tls_rpt;

pub use cidr::{Range, RangeError};
pub use clock::{Clock, FakeClock, SystemClock};
pub use dane::usable as dane_usable;
pub use dial::{DialError, dial};
pub use dns::{
    CACHE_ENTRIES_MAX, CachedResolver, DnsError, DnsResolver, Dnssec, FAILURE_TTL_S, HostTlsa,
    LOOKUP_TIMEOUT, LOOKUP_TRIES, LOOKUPS_MAX, MAIL_HOSTS_MAX, MailHost, MailHosts, Mx, NEGATIVE_TTL_MAX_S,
    Patience, RECORDS_MAX, Record, RecordKind, Records, Resolver, StaticResolver, TTL_MAX_S, TTL_MIN_S, Tlsa,
    mail_host_tlsa, mail_hosts, open_resolver, tlsa_name,
};
pub use fetch::{
    FETCH_SIZE_MAX, FETCH_TIME, FetchError, FetchLimits, Fetched, Fetcher, REDIRECTS_MAX, URL_LEN_MAX,
};
pub use guard::{Guard, Refused};
pub use proxy::header as proxy_header;
pub use shifted::ShiftedClock;
pub use sts::{
    STS_AGE_MAX_S, STS_HOSTS_MAX, STS_SIZE_MAX, STS_TIME, StsError, StsFetchError, StsMode, StsPolicy,
    fetch_sts, sts_id, sts_name,
};
pub use tls::{Demand, Proven, Secured, Tls, TlsError, TlsFault, TlsStream, read_roots};
pub use tls_rpt::{ReportTo, report_addresses, tls_rpt_name};

/// A future that a trait object can give.
pub type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
