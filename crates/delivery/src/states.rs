//! Who acts on a delivery.

/// Who acts, and what the account may do. Made by whoever knows the accounts; this room knows names only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Name of the account, for journals and pages; empty: the program itself.
    pub name: String,
    /// An administrator: may do what only an owner may otherwise.
    pub administer: bool,
    /// Has the right to start deliveries.
    pub start: bool,
}

impl By {
    /// The program itself: a schedule, an automatic start, the end of a validity period.
    pub fn system() -> By {
        By { name: String::new(), administer: true, start: true }
    }

    /// An account with no right beyond preparing deliveries.
    pub fn named(name: &str) -> By {
        By { name: name.to_owned(), administer: false, start: false }
    }

    /// Is it the program itself?
    pub fn is_system(&self) -> bool {
        self.name.is_empty()
    }

    /// ` by anna`, or nothing: what a line of the journal ends with.
    pub(crate) fn suffix(&self) -> String {
        if self.is_system() { String::new() } else { format!(" by {}", self.name) }
    }
}
