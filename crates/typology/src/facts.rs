//! What rules may know. `delivery` fills it; what is not known yet in a phase is absent.
//!
//! The names are those that a rule of one's own uses, and that stand in the JSON kept of each analysis: a field is
//! added with a default and never renamed. `reference` documents each of them.

use serde::{Deserialize, Serialize};

use crate::lookups::Lookups;

/// Facts of one delivery.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What the author chose for the delivery.
    pub delivery: DeliveryFact,
    /// Subject template as written.
    pub subject: String,
    /// Sender.
    pub sender: SenderFact,
    /// Links of all parts, in order.
    pub links: Vec<LinkFact>,
    /// The parts that are sent.
    pub parts: Vec<PartFact>,
    /// Messages to send, once the target is known.
    pub messages: Option<i64>,
    /// Of a proof: its readers.
    pub proof: Option<ProofFact>,
    /// Was a proof sent, and did the content change since? `None` for a proof itself.
    pub proof_outdated: Option<bool>,
    /// When the messages expire and when they should be out, once both are known.
    pub prediction: Option<PredictionFact>,
    /// Sizes of composed messages, once they are known.
    pub size: Option<SizeFact>,
    /// The mirror page is open to who has its link.
    pub mirror_page: Option<bool>,
    /// Copies are wanted of what is sent, but can go nowhere: what to do about it.
    pub archive_problem: Option<String>,
    /// Files that are attached, to whomever.
    pub attachments: usize,
    /// Images of the HTML part, in order.
    pub images: Vec<ImageFact>,
    /// Header fields that the author added.
    pub headers: Vec<HeaderFact>,
    /// Value of the header Feedback-ID.
    pub feedback_id: String,
    /// Base of the links in messages, with its scheme; the one-click unsubscription is answered there.
    pub public_url: String,
    /// Is TLS offered to receivers? `None`: not known.
    pub tls: Option<bool>,
    /// Messages by receiving provider, largest first, once the target is known.
    pub providers: Vec<ProviderFact>,
    /// Recipients left out, by cause, once the target is known.
    pub excluded: Vec<ExcludedFact>,
    /// Dates of the schedule, once they are known.
    pub schedule: Option<ScheduleFact>,
    /// The pool of sources that the delivery goes from; `None`: it goes to a relay, where there are none.
    pub pool: Option<PoolFact>,
    /// What DNS and the web say.
    pub lookups: Lookups,
    /// The formats of Japanese handsets that recipients get, once the target is evaluated.
    pub mobiles: Vec<MobileFact>,
}

/// The pool of sources that a delivery goes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolFact {
    /// Its name.
    pub name: String,
    /// Who chose it.
    pub chosen_by: PoolChoice,
    /// Sources in it that are used.
    pub sources: usize,
    /// Sources in it that are switched off.
    pub disabled: usize,
    /// Names of all pools that have a source, in their order.
    pub known: Vec<String>,
}

/// Who chose a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolChoice {
    /// The delivery itself.
    Delivery,
    /// Its typology.
    Typology,
    /// Neither: it is the pool `default`.
    #[default]
    Nobody,
}

/// A format of Japanese handsets in the target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MobileFact {
    /// Its name.
    pub format: String,
    /// Messages in it.
    pub recipients: u64,
    /// What the handsets would not show of the largest of them.
    pub problems: Vec<MobileProblem>,
}

/// What a handset would not show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MobileProblem {
    /// `html`, `mjml`, `text` or `message`.
    pub part: String,
    /// Line in the part; 0: the part as a whole.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// What it is.
    pub text: String,
}

/// Who sends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SenderFact {
    /// Display name as written.
    pub name: String,
    /// Address as written (a template, perhaps).
    pub address: String,
    /// Reply-to as written.
    pub reply_to: String,
    /// Error address as written; empty: a signed return path per message.
    pub error_address: String,
    /// Masks (`*@shop.example`) that a sender's address must match; empty: any.
    pub from_masks: Vec<String>,
    /// Masks that an error address must match; empty: any.
    pub error_masks: Vec<String>,
    /// Is the sender's domain one that this instance signs for? `None`: not known (a template).
    pub domain_known: Option<bool>,
}

/// One link.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkFact {
    /// `html` or `text`.
    pub part: String,
    /// Target as written.
    pub url: String,
    /// It shows something: words, or an image with an alternative text.
    pub has_text: bool,
    /// Line and column in the part's source.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// One part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartFact {
    /// `html` or `text`.
    pub part: String,
    /// Made from the HTML, not written.
    pub generated: bool,
    /// Has the unsubscription link.
    pub unsubscribe: bool,
    /// Links the mirror page.
    pub mirror: bool,
    /// Bytes of its source.
    pub bytes: usize,
    /// Characters that a reader sees, blanks apart; `None`: not counted.
    pub characters: Option<usize>,
    /// Words that filters of old counted against a message, each once.
    pub suspicious: Vec<String>,
}

/// What the author chose for the delivery.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryFact {
    /// Name shown to operators.
    pub label: String,
    /// Delivery code.
    pub code: String,
    /// Name of the template that it started from; empty: none.
    pub template: String,
    /// `very_low` to `very_high`.
    pub priority: String,
    /// `recipient`, `alternative` or `text`.
    pub format: String,
    /// Charset.
    pub encoding: String,
    /// Header Precedence; empty: none.
    pub precedence: String,
    /// Opens are counted.
    pub tracks_opens: bool,
    /// Clicks are counted.
    pub tracks_clicks: bool,
    /// Copies are archived.
    pub bcc: bool,
    /// It is a proof.
    pub proof: bool,
    /// It is sent in waves.
    pub waves: bool,
    /// It is an A/B test.
    pub ab: bool,
    /// Name of its typology.
    pub typology: String,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFact {
    /// As written.
    pub src: String,
    /// It has an `alt`, even an empty one.
    pub has_alt: bool,
    /// Line in the HTML's source.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// A header field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderFact {
    /// Its name.
    pub name: String,
    /// Its value as written, a template perhaps.
    pub value: String,
}

/// A receiving provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderFact {
    /// `google`, `yahoo`, `outlook` … as in the provider table.
    pub provider: String,
    /// Messages to addresses that are known to be its own.
    pub messages: i64,
}

/// A cause of exclusion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExcludedFact {
    /// `denylisted`, `quarantined`, `duplicate` …
    pub reason: String,
    /// Recipients.
    pub recipients: i64,
}

/// Dates of the schedule, µs UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleFact {
    /// When sending starts.
    pub contact_us: i64,
    /// A contact date that is in the past.
    pub past: bool,
    /// What was made of an hour that the time zone does not have, or has twice.
    pub notes: Vec<String>,
    /// When the last message becomes due: waves, recipients' zones and quiet hours considered.
    pub last_due_us: i64,
    /// Waves; 0: none.
    pub waves: u32,
    /// Start of the last wave.
    pub last_wave_us: Option<i64>,
    /// Predicted end of the last wave.
    pub last_wave_end_us: Option<i64>,
}

/// A proof's readers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProofFact {
    /// How many.
    pub recipients: usize,
}

/// Expiry against prediction, in µs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PredictionFact {
    /// Start of sending.
    pub start_us: i64,
    /// Messages expire then.
    pub valid_until_us: i64,
    /// All should be out then.
    pub end_us: i64,
    /// The slowest provider, when one was found.
    pub slowest: Option<String>,
}

/// Sizes of composed messages, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeFact {
    /// Largest message.
    pub largest: usize,
    /// Size of the HTML part alone in that message (Gmail clips it above 102 KB).
    pub html: usize,
}
