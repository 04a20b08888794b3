//! What DNS and the web say of a delivery. A look-up that gave no answer is *unknown*: never "not there".

use serde::{Deserialize, Serialize};

/// Facts from outside. `None`: not asked, because the delivery is a proof, or because nothing can be asked (the sender's
/// domain is a template; mail leaves through a relay whose addresses nobody knows).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lookups {
    /// How receivers will judge the sender.
    pub authentication: Option<AuthenticationFact>,
    /// The addresses that mail leaves from.
    pub sources: Option<Vec<SourceFact>>,
    /// The name that is said in EHLO.
    pub helo: Option<HeloFact>,
    /// What is behind the links.
    pub targets: Option<Vec<TargetFact>>,
}

/// How a look-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// As it should be.
    Pass,
    /// Something else is there.
    Fail,
    /// Nothing is there.
    Missing,
    /// No answer.
    #[default]
    Unknown,
}

/// One check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckFact {
    /// How it ended.
    pub state: Checked,
    /// What was found, or why nothing is known.
    pub found: String,
}

impl CheckFact {
    /// A check that ended so.
    pub fn new(state: Checked, found: impl Into<String>) -> CheckFact {
        CheckFact { state, found: found.into() }
    }
}

/// How receivers will judge the sender.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthenticationFact {
    /// Domain of the From address.
    pub domain: String,
    /// SPF of the return path's domain, for the addresses that mail leaves from.
    pub spf: CheckFact,
    /// The return path's domain.
    pub spf_domain: String,
    /// It is aligned with the From domain, as the DMARC policy asks for.
    pub spf_aligned: bool,
    /// The published DKIM key is the one that signs here.
    pub dkim: CheckFact,
    /// The signing domain; empty: messages are not signed.
    pub dkim_domain: String,
    /// It is aligned with the From domain.
    pub dkim_aligned: bool,
    /// A DMARC policy is published for the From domain or its organisation.
    pub dmarc: CheckFact,
    /// The From domain takes mail.
    pub mail: CheckFact,
}

/// An address that mail leaves from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceFact {
    /// The address.
    pub address: String,
    /// It has a name, and the name has the address.
    pub reverse: CheckFact,
}

/// The name that is said in EHLO.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeloFact {
    /// The name.
    pub name: String,
    /// It is a full name that leads to an address that mail leaves from.
    pub check: CheckFact,
}

/// What is behind a link.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetFact {
    /// The link's address.
    pub url: String,
    /// `pass`: something is there; `missing`: the server says that nothing is, or there is no server; `unknown`: no
    /// answer in time, or one that says nothing.
    pub check: CheckFact,
    /// The server's status code; 0: none.
    pub status: u16,
}
