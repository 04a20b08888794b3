//! Mails that are the same for everybody: the test mail of the setup, and notes to operators.

use crate::slots::{PartName, Piece};
use crate::snapshot::{Part, Snapshot};

/// A plain text mail without personalisation. Compose it with `Slots::default()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimpleMail {
    /// Sender's display name; may be empty.
    pub from_name: String,
    /// Sender's address, as on the wire.
    pub from_address: String,
    /// Subject.
    pub subject: String,
    /// Text, line ends LF.
    pub text: String,
    /// Domain of the signed return path.
    pub bounce_domain: String,
}

impl SimpleMail {
    /// The snapshot to prepare and compose. Inert: nothing in it acts on anybody.
    pub fn snapshot(&self) -> Snapshot {
        let constant = |name, text: &str| Part::new(name, vec![text.to_owned()], vec![Piece::Static(0)]);
        let domain = self.from_address.rsplit('@').next().unwrap_or_default();
        Snapshot {
            inert: true,
            parts: vec![
                constant(PartName::Text, &self.text),
                constant(PartName::Subject, &self.subject),
                constant(PartName::FromName, &self.from_name),
                constant(PartName::FromAddress, &self.from_address),
            ],
            bounce_domain: self.bounce_domain.clone(),
            message_id_domain: domain.to_owned(),
            headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
            ..Snapshot::default()
        }
    }
}
