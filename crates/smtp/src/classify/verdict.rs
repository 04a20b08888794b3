//! What a judgement consists of.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientOutcome {
    /// The receiver has it.
    Sent,
    /// To be tried again.
    Retry {
        /// The wait that the receiver (or, where it names none, the rule) asks for, from [`crate::DELAY_MIN_S`] to
        /// [`crate::DELAY_MAX_S`] seconds. It replaces the next regular wait, holds for the same source address, and
        /// such a try is not counted.
        after_s: Option<u32>,
    },
    /// Not to be tried again.
    Failed,
}

/// Why, in the words of the delivery log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing is known about this text.
    NotDefined,
    /// The mailbox does not exist.
    UserUnknown,
    /// The domain does not exist, or takes no mail.
    InvalidDomain,
    /// The receiver's systems or the way to them.
    Unreachable,
    /// The mailbox exists and is closed, for now or for good.
    AccountDisabled,
    /// The mailbox is full.
    MailboxFull,
    /// A policy, a block, spam or malware.
    Refused,
}

impl Reason {
    /// Its number in reports and qualification tables; rows have its name.
    pub fn code(self) -> u8 {
        match self {
            Reason::NotDefined => 0,
            Reason::UserUnknown => 1,
            Reason::InvalidDomain => 2,
            Reason::Unreachable => 3,
            Reason::AccountDisabled => 4,
            Reason::MailboxFull => 5,
            Reason::Refused => 20,
        }
    }

    /// The reason of such a number.
    pub fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The word it is exported under.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotDefined => "not_defined",
            Reason::UserUnknown => "user_unknown",
            Reason::InvalidDomain => "invalid_domain",
            Reason::Unreachable => "unreachable",
            Reason::AccountDisabled => "account_disabled",
            Reason::MailboxFull => "mailbox_full",
            Reason::Refused => "refused",
        }
    }

    /// Every reason.
    pub const ALL: &'static [Reason] = &[
        Reason::NotDefined,
        Reason::UserUnknown,
        Reason::InvalidDomain,
        Reason::Unreachable,
        Reason::AccountDisabled,
        Reason::MailboxFull,
        Reason::Refused,
    ];
}

/// What kind of answer it is, finer than [`Reason`]: for figures and for people who look for what to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// No rule knows the words.
    Uncategorized,
    /// The address does not exist.
    InvalidRecipient,
    /// The recipient's domain does not exist there, or takes no mail.
    BadDomain,
    /// The mailbox exists and is closed.
    InactiveMailbox,
    /// The return path or its domain was refused.
    InvalidSender,
    /// No room for the message, in the mailbox or by its size.
    QuotaIssues,
    /// No host answered: no connection came to stand, or nothing greeted over it.
    NoAnswerFromHost,
    /// The connection was refused or ended.
    BadConnection,
    /// The receiver could not look something up.
    DnsFailure,
    /// The receiver passes no mail on to that address, or has lost the way to it.
    RoutingErrors,
    /// The receiver's trouble, for now.
    TransientFailure,
    /// Put off to see whether the sender comes again.
    Greylisted,
    /// The message grew too old on its way.
    MessageExpired,
    /// Commands or the form of the message.
    ProtocolErrors,
    /// SPF, DKIM, DMARC, reverse name or TLS: what the sender publishes or presents.
    AuthenticationFailed,
    /// A rule of the receiver or of the recipient.
    PolicyRelated,
    /// Too many recipients.
    TooManyRecipients,
    /// Too much, too fast, or over too many connections.
    RateLimited,
    /// The source address or the domain is on a list or has a bad name.
    SpamBlock,
    /// The message was taken for spam or malware.
    SpamContent,
}

impl Category {
    /// Every category.
    pub const ALL: &'static [Category] = &[
        Category::Uncategorized,
        Category::InvalidRecipient,
        Category::BadDomain,
        Category::InactiveMailbox,
        Category::InvalidSender,
        Category::QuotaIssues,
        Category::NoAnswerFromHost,
        Category::BadConnection,
        Category::DnsFailure,
        Category::RoutingErrors,
        Category::TransientFailure,
        Category::Greylisted,
        Category::MessageExpired,
        Category::ProtocolErrors,
        Category::AuthenticationFailed,
        Category::PolicyRelated,
        Category::TooManyRecipients,
        Category::RateLimited,
        Category::SpamBlock,
        Category::SpamContent,
    ];

    /// The word for it in files and exports.
    pub fn name(self) -> &'static str {
        match self {
            Category::Uncategorized => "uncategorized",
            Category::InvalidRecipient => "invalid_recipient",
            Category::BadDomain => "bad_domain",
            Category::InactiveMailbox => "inactive_mailbox",
            Category::InvalidSender => "invalid_sender",
            Category::QuotaIssues => "quota_issues",
            Category::NoAnswerFromHost => "no_answer_from_host",
            Category::BadConnection => "bad_connection",
            Category::DnsFailure => "dns_failure",
            Category::RoutingErrors => "routing_errors",
            Category::TransientFailure => "transient_failure",
            Category::Greylisted => "greylisted",
            Category::MessageExpired => "message_expired",
            Category::ProtocolErrors => "protocol_errors",
            Category::AuthenticationFailed => "authentication_failed",
            Category::PolicyRelated => "policy_related",
            Category::TooManyRecipients => "too_many_recipients",
            Category::RateLimited => "rate_limited",
            Category::SpamBlock => "spam_block",
            Category::SpamContent => "spam_content",
        }
    }
}

/// What to do with the path (source address and receiving site).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathAction {
    /// Go on.
    None,
    /// Let it rest; the message keeps its count.
    Suspend {
        /// For how long: what the receiver named, else what the rule says, from [`crate::DELAY_MIN_S`] to
        /// [`crate::DELAY_MAX_S`] seconds. None: the path's own back-off.
        after_s: Option<u32>,
    },
    /// Send less to this site: the rate and the connections are multiplied, and go on.
    Slow {
        /// What remains, 1 to 99 of a hundred.
        factor_percent: u8,
        /// How long to stay below the old rate before probing upward, bounded as above. None: the control's own time.
        after_s: Option<u32>,
        /// For that time over one connection at most.
        one_connection: bool,
    },
    /// One more connection was one too many; what is open may go on.
    FewerConnections,
    /// The connection has carried what the receiver takes over one: the number seen is the limit.
    FewerMessages,
    /// This receiver takes mail over TLS only.
    SecureOnly,
}

impl PathAction {
    /// The word for it in files and exports.
    pub fn name(self) -> &'static str {
        match self {
            PathAction::None => "none",
            PathAction::Suspend { .. } => "suspend",
            PathAction::Slow { .. } => "slow",
            PathAction::FewerConnections => "fewer_connections",
            PathAction::FewerMessages => "fewer_messages",
            PathAction::SecureOnly => "secure_only",
        }
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// This recipient's mailbox.
    Recipient,
    /// The source address.
    Source,
    /// The sending domain.
    Domain,
    /// A host that the message links to.
    Url,
    /// The message.
    Content,
    /// Our configuration.
    Configuration,
    /// Nobody in particular, or the receiver.
    None,
}

impl Blame {
    /// The word for it in files and exports.
    pub fn name(self) -> &'static str {
        match self {
            Blame::Recipient => "recipient",
            Blame::Source => "source",
            Blame::Domain => "domain",
            Blame::Url => "url",
            Blame::Content => "content",
            Blame::Configuration => "configuration",
            Blame::None => "none",
        }
    }
}

/// The name of the rule that decided, for explanations; empty where the reply code alone did. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RuleName(Option<Arc<str>>);

impl RuleName {
    pub(super) fn of(name: &Arc<str>) -> RuleName {
        RuleName(Some(Arc::clone(name)))
    }
}

impl Deref for RuleName {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// All that a reply says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Verdict {
    /// For the message.
    pub recipient: RecipientOutcome,
    /// Why.
    pub reason: Reason,
    /// What kind of answer.
    pub category: Category,
    /// For the path.
    pub path: PathAction,
    /// Whose fault.
    pub blames: Blame,
    /// The address does not exist: it goes into quarantine, and its pending messages are cancelled everywhere.
    pub quarantine: bool,
    /// A 5yz that is not the recipient's fault, or words about the content after which a rule holds the whole delivery:
    /// the message waits ([`RecipientOutcome::Retry`], not counted) until what is to blame is mended, and expires at
    /// worst. It never fails and never puts an address into quarantine.
    pub held: bool,
    /// The try counts among the message's tries: the receiver answered about this message, and named no wait.
    pub counts: bool,
    /// The name of the rule that decided.
    pub rule: RuleName,
}
