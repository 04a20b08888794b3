//! What an author gives, and what a delivery adds.

/// The author's content. Every text field may be a template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// Sender's display name; may be empty.
    pub from_name: String,
    /// Sender's address.
    pub from_address: String,
    /// `address` or `Name <address>`; empty: no Reply-To, so replies go to the sender.
    pub reply_to: String,
    /// Envelope sender for all messages; empty: a signed return path per message.
    pub error_address: String,
    /// Subject.
    pub subject: String,
    /// Text that inboxes show after the subject; put hidden at the start of the HTML. May be empty.
    pub preheader: String,
    /// HTML body. A delivery without it is text only.
    pub html: Option<String>,
    /// Text body; made from the HTML when absent.
    pub text: Option<String>,
    /// Headers to add, name and value; values are not templates.
    pub headers: Vec<(String, String)>,
}

/// What the delivery knows at compile time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompileOptions {
    /// The delivery's number.
    pub delivery: i64,
    /// A proof or a preview: tokens act on nobody.
    pub inert: bool,
    /// Stands before the subject, `Proof #3: `; empty for the delivery itself.
    pub subject_prefix: String,
    /// Base of unsubscribe and mirror links.
    pub public_url: String,
    /// Domain of the signed return paths.
    pub bounce_domain: String,
    /// Domain of Message-IDs; empty: the domain of the sender's address, where that is no template.
    pub message_id_domain: String,
    /// Writes List-Unsubscribe with one-click POST.
    pub list_unsubscribe: bool,
    /// Value of Feedback-ID, or empty.
    pub feedback_id: String,
    /// What `now()` says, microseconds UTC.
    pub now_us: i64,
    /// Attributes that some recipient has: in a recipient without them they are empty rather than unknown.
    pub attributes: Vec<String>,
}
