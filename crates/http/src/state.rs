//! What every handler can reach: the services of all rooms, built once by the binary and shared.

use std::sync::Arc;

/// The mailbox page of the demo: what the simulated internet received. Filled by the binary only under
/// `mailwright demo`; pages show the mailbox when it is there.
pub trait DemoMailbox: Send + Sync + 'static {
    /// How many messages were received so far.
    fn count(&self) -> u64;
    /// The newest messages first, at most `limit`; `before` (exclusive) pages towards older ones; `search` matches
    /// recipient, sender or subject.
    fn list(&self, before: Option<u64>, limit: usize, search: &str) -> Vec<DemoMessage>;
    /// The bytes of one message as they arrived.
    fn source(&self, number: u64) -> Option<Vec<u8>>;
}

/// One line of the demo's mailbox.
#[derive(Clone, Debug)]
pub struct DemoMessage {
    /// Number in order of arrival, from 1.
    pub number: u64,
    /// Arrival, microseconds UTC.
    pub at_us: i64,
    /// The provider that took it, for example `gmail.example`.
    pub provider: String,
    /// Envelope sender.
    pub from: String,
    /// Envelope recipient.
    pub to: String,
    /// Decoded subject.
    pub subject: String,
    /// Size in bytes.
    pub size: usize,
}

/// The shared state of all routers; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    services: Arc<Services>,
}

/// The services of all rooms. More fields come as the rooms publish their interfaces.
pub struct Services {
    /// Mailbox of the demo, when it runs.
    pub demo: Option<Arc<dyn DemoMailbox>>,
}

impl AppState {
    /// Wraps the services for sharing.
    pub fn new(services: Services) -> Self {
        Self { services: Arc::new(services) }
    }
}

impl std::ops::Deref for AppState {
    type Target = Services;
    fn deref(&self) -> &Services {
        &self.services
    }
}
