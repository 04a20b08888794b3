//! What rules may know. `delivery` fills it; what is not known yet in a phase is absent.

/// Facts of one delivery.
#[derive(Debug, Clone, Default)]
pub struct Facts {
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
    /// The formats of Japanese handsets that recipients get, once the target is evaluated.
    pub mobiles: Vec<MobileFact>,
}

/// A format of Japanese handsets in the target.
#[derive(Debug, Clone, Default)]
pub struct MobileFact {
    /// Its name.
    pub format: String,
    /// Messages in it.
    pub recipients: u64,
    /// What the handsets would not show of the largest of them.
    pub problems: Vec<MobileProblem>,
}

/// What a handset would not show.
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Default)]
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
}

/// A proof's readers.
#[derive(Debug, Clone, Default)]
pub struct ProofFact {
    /// How many.
    pub recipients: usize,
}

/// Expiry against prediction, in µs.
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Copy, Default)]
pub struct SizeFact {
    /// Largest message.
    pub largest: usize,
    /// Size of the HTML part alone in that message (Gmail clips it above 102 KB).
    pub html: usize,
}
