//! The words of a delivery: its state, what pages and scripts are told of it, and the errors of this room.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::Definition;
use crate::folder::Refusal;

/// A delivery's number. JSON carries it as a string.
pub type DeliveryId = i64;

/// Where a delivery stands. Names are those of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Being edited.
    Draft,
    /// Waits for its targeting (schedule; later).
    TargetingPending,
    /// An analysis runs.
    Analysing,
    /// Analysed without error: may be confirmed.
    Ready,
    /// Confirmed, not yet begun.
    Pending,
    /// Messages go out.
    InProgress,
    /// Only messages that were deferred remain.
    Retrying,
    /// A pause was asked for.
    Pausing,
    /// No message goes out until it is resumed.
    Paused,
    /// A stop was asked for.
    Stopping,
    /// Stopped by an operator; final.
    Stopped,
    /// The analysis failed.
    Failed,
    /// Every message is accounted for; final.
    Finished,
    /// Given up before it was sent; final.
    Cancelled,
    /// Deleted; final.
    Deleted,
}

impl State {
    /// All states, in the order of a delivery's life.
    pub const ALL: [State; 15] = [
        State::Draft,
        State::TargetingPending,
        State::Analysing,
        State::Ready,
        State::Pending,
        State::InProgress,
        State::Retrying,
        State::Pausing,
        State::Paused,
        State::Stopping,
        State::Stopped,
        State::Failed,
        State::Finished,
        State::Cancelled,
        State::Deleted,
    ];

    /// The name in JSON, in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Draft => "draft",
            State::TargetingPending => "targeting_pending",
            State::Analysing => "analysing",
            State::Ready => "ready",
            State::Pending => "pending",
            State::InProgress => "in_progress",
            State::Retrying => "retrying",
            State::Pausing => "pausing",
            State::Paused => "paused",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::Failed => "failed",
            State::Finished => "finished",
            State::Cancelled => "cancelled",
            State::Deleted => "deleted",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// May the content, target or parameters be edited?
    pub fn is_editable(self) -> bool {
        matches!(self, State::Draft | State::Ready | State::Failed | State::TargetingPending)
    }

    /// Has it been confirmed and not yet ended?
    pub fn is_active(self) -> bool {
        matches!(
            self,
            State::Pending
                | State::InProgress
                | State::Retrying
                | State::Pausing
                | State::Paused
                | State::Stopping
        )
    }

    /// Is it over?
    pub fn is_final(self) -> bool {
        matches!(self, State::Stopped | State::Finished | State::Cancelled | State::Deleted)
    }
}

/// What a delivery is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// For its recipients.
    #[default]
    Delivery,
    /// A mail of the program to somebody who works here: in no list, outside every indicator.
    Notice,
}

/// One delivery, as pages and REST show it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Number.
    pub id: DeliveryId,
    /// The delivery that this is a proof of.
    pub parent: Option<DeliveryId>,
    /// `n` of `Proof #n`; 0 for a delivery proper.
    pub proof_no: i64,
    /// Label as evaluated or, before analysis, as written.
    pub label: String,
    /// Delivery code, likewise.
    pub code: String,
    /// Where it stands.
    pub state: State,
    /// What the author wrote.
    pub definition: Definition,
    /// HTML source.
    pub html: Option<String>,
    /// Text source; absent: made from the HTML.
    pub text: Option<String>,
    /// MJML source; when it is there, the HTML is made of it.
    pub mjml: Option<String>,
    /// AMP source.
    pub amp: Option<String>,
    /// A delivery template: never sent, other deliveries start from it.
    pub is_template: bool,
    /// Who edited it last; empty: not known.
    pub edited_by: String,
    /// Whose it is: may confirm it and is told of it; empty: nobody's, so everybody with the right to start may confirm.
    pub owner: String,
    /// What it is sent for.
    pub purpose: Purpose,
    /// Who confirmed it; empty: nobody yet, or the program itself.
    pub confirmed_by: String,
    /// Until when mirror pages and images live (µs); set by Confirm.
    pub resources_until: Option<i64>,
    /// Folder that it is pushed from.
    pub origin: Option<String>,
    /// Counts edits; an edit names the revision that it is based on.
    pub revision: i64,
    /// Revision that was analysed last.
    pub analysed_revision: Option<i64>,
    /// Hash of the snapshot of the last good analysis.
    pub snapshot: Option<String>,
    /// Target of the last analysis: messages + excluded.
    pub target: i64,
    /// Messages of the last analysis.
    pub to_deliver: i64,
    /// When the last message should be settled, as predicted at analysis (µs).
    pub predicted_end: Option<i64>,
    /// Out of the list.
    pub archived: bool,
    /// Times (µs).
    pub created_at: i64,
    /// Last edit.
    pub updated_at: i64,
    /// End of the last analysis.
    pub analysed_at: Option<i64>,
    /// When it was confirmed.
    pub confirmed_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Was a proof sent, and has the content changed since?
    pub proof: ProofFreshness,
}

impl Delivery {
    /// The texts of its content.
    pub fn sources(&self) -> Sources {
        Sources {
            html: self.html.clone(),
            text: self.text.clone(),
            mjml: self.mjml.clone(),
            amp: self.amp.clone(),
        }
    }
}

/// The texts of a content. What is blank counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// HTML.
    pub html: Option<String>,
    /// Text; absent: made from the HTML.
    pub text: Option<String>,
    /// MJML; when it is there, the HTML is made of it.
    pub mjml: Option<String>,
    /// AMP.
    pub amp: Option<String>,
}

/// How the content stands to the last proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofFreshness {
    /// No proof was sent.
    None,
    /// The last proof shows the content as it is.
    Current,
    /// The content changed since.
    Outdated,
}

/// A line of the deliveries' list.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Number.
    pub id: DeliveryId,
    /// Label.
    pub label: String,
    /// Code.
    pub code: String,
    /// State.
    pub state: State,
    /// The delivery that this is a proof of, and its number.
    pub parent: Option<DeliveryId>,
    /// Proof number, or 0.
    pub proof_no: i64,
    /// A delivery template.
    pub is_template: bool,
    /// Messages of the last analysis.
    pub to_deliver: i64,
    /// Out of the list.
    pub archived: bool,
    /// Created (µs).
    pub created_at: i64,
    /// Last edit (µs).
    pub updated_at: i64,
    /// Confirmed (µs).
    pub confirmed_at: Option<i64>,
    /// Ended (µs).
    pub finished_at: Option<i64>,
}

/// What the list shows.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Text in label or code.
    pub search: String,
    /// Only these states; empty: all but deleted.
    pub states: Vec<State>,
    /// Archived ones instead of the others.
    pub archived: bool,
    /// Proofs of this delivery instead of deliveries.
    pub proofs_of: Option<DeliveryId>,
    /// Delivery templates instead of deliveries.
    pub templates: bool,
    /// Only ids below this one (keyset paging; newest first).
    pub before: Option<DeliveryId>,
    /// At most so many; 0: 50.
    pub limit: usize,
}

/// An edit: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// All parameters.
    pub definition: Option<Definition>,
    /// HTML source; `Some(None)` removes it.
    pub html: Option<Option<String>>,
    /// Text source; `Some(None)` removes it, and the text is then made from the HTML.
    pub text: Option<Option<String>>,
    /// MJML source; `Some(None)` removes it.
    pub mjml: Option<Option<String>>,
    /// AMP source; `Some(None)` removes it.
    pub amp: Option<Option<String>>,
    /// The revision that the author saw; another one by now is refused.
    pub based_on: Option<i64>,
    /// Who edits; told to others whose edit comes too late.
    pub by: String,
}

/// Somebody who has an editor of a delivery open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Editor {
    /// Name of the user.
    pub name: String,
    /// One browser tab, in letters that the page made up.
    pub tab: String,
    /// What is edited there: `html`, `text`, `parameters` …; may be empty.
    pub part: String,
}

/// Somebody else who has an editor of this delivery open now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// Name of the user.
    pub name: String,
    /// What is edited there.
    pub part: String,
    /// Since when (µs).
    pub since: i64,
    /// Last sign of life (µs).
    pub seen_at: i64,
}

/// A line of the journal.
#[derive(Debug, Clone, Serialize)]
pub struct JournalLine {
    /// When (µs).
    pub at: i64,
    /// info, warning or error.
    pub level: typology::Level,
    /// The rule that says it; empty for what the program did.
    pub rule: String,
    /// The text.
    pub text: String,
    /// subject, html, text …
    pub part: Option<String>,
    /// Line in that part, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// How to mend what the rule names.
    pub hint: Option<String>,
}

/// What an analysis found.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The delivery.
    pub id: DeliveryId,
    /// Ready, failed, or draft when it was stopped.
    pub state: State,
    /// Hash of the frozen snapshot.
    pub snapshot: Option<String>,
    /// Messages + excluded.
    pub target: i64,
    /// Messages.
    pub to_deliver: i64,
    /// Recipients left out, by reason.
    pub excluded: BTreeMap<String, i64>,
    /// What the rules said.
    pub findings: Vec<typology::Finding>,
    /// When each provider will be done.
    pub providers: Vec<ProviderPlan>,
    /// When all will be done (µs).
    pub predicted_end: Option<i64>,
}

/// A step of an analysis that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTaken {
    /// Its name, as in [`AnalysisProgress::step`].
    pub step: String,
    /// How long it took, in ms.
    pub took_ms: i64,
    /// What it went through: ids in `target`, recipients in `personalisation`, images in `images`.
    pub count: u64,
}

/// Messages of one provider, and when they should be out.
#[derive(Debug, Clone, Serialize)]
pub struct ProviderPlan {
    /// Provider or domain.
    pub provider: String,
    /// Messages.
    pub messages: i64,
    /// Predicted end (µs), counted from the time of the analysis.
    pub predicted_end: Option<i64>,
}

/// One wave as the analysis planned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WavePlan {
    /// Its number, from 0.
    pub wave: i64,
    /// When its first message is due (µs); without a contact date reckoned from Confirm once there is one, from the
    /// analysis before.
    pub starts_at: i64,
    /// When its last message should be out (µs); absent through a relay.
    pub ends_at: Option<i64>,
    /// Its messages.
    pub messages: i64,
}

/// How far an analysis is.
#[derive(Debug, Clone, Serialize)]
pub struct AnalysisProgress {
    /// What it does: waiting, content, target, images, domains, personalisation, index, rules.
    pub step: &'static str,
    /// Recipients done in this step.
    pub done: u64,
    /// Of so many (0: not known).
    pub total: u64,
    /// Since the start, in ms.
    pub elapsed_ms: i64,
    /// Expected end (µs), when it can be said.
    pub expected_end: Option<i64>,
}

/// Live figures of a delivery. target = sum of excluded + sum of the four message states.
#[derive(Debug, Clone)]
pub struct Status {
    /// The delivery.
    pub id: DeliveryId,
    /// State.
    pub state: State,
    /// Messages + excluded.
    pub target: i64,
    /// By reason.
    pub excluded: BTreeMap<String, i64>,
    /// Not yet decided.
    pub pending: i64,
    /// Accepted by the receiver.
    pub sent: i64,
    /// Refused for good.
    pub failed: i64,
    /// Not to be sent any more.
    pub cancelled: i64,
    /// Pending and tried (inside pending).
    pub deferred: i64,
    /// Pending, the answer after the final dot was lost (inside pending).
    pub unknown: i64,
    /// Seeds, which are in no other figure.
    pub seeds: queue::SeedFigures,
    /// Accepted, and came back later as an address that does not exist (inside sent).
    pub bounced: i64,
    /// Called spam by their recipients (inside sent).
    pub complaints: i64,
    /// By provider.
    pub providers: Vec<ProviderStatus>,
    /// Messages a second over the last seconds.
    pub per_second: f64,
    /// Expected end (µs).
    pub predicted_end: Option<i64>,
    /// The server was down at the contact date, by more than the grace: it is paused until somebody resumes or stops it.
    pub late: bool,
}

/// Live figures of one provider.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProviderStatus {
    /// Provider or site.
    pub provider: String,
    /// Not yet decided.
    pub pending: i64,
    /// Pending and tried.
    pub deferred: i64,
    /// Accepted.
    pub sent: i64,
    /// Refused.
    pub failed: i64,
    /// Messages a second.
    pub per_second: f64,
    /// Expected end (µs).
    pub predicted_end: Option<i64>,
    /// Accepted, and came back later as an address that does not exist.
    pub bounced: i64,
    /// Called spam by their recipients.
    pub complaints: i64,
    /// The brake holds its messages; Resume lets them go.
    pub held: bool,
}

/// What a stop did, exactly.
#[derive(Debug, Clone, Serialize)]
pub struct StopReport {
    /// stopped, or stopping while a node is silent.
    pub state: State,
    /// Accepted before the stop.
    pub sent: i64,
    /// Past their final dot, no reply yet.
    pub in_flight: i64,
    /// Not sent, and never to be.
    pub cancelled: i64,
}

/// Who gets a proof.
#[derive(Debug, Clone, PartialEq)]
pub enum ProofTarget {
    /// What the delivery's own `[proof]` says.
    AsDefined,
    /// Given addresses, each personalised as a recipient of the target.
    Substitution(Vec<crate::definition::Substitution>),
    /// Specific recipients, by address.
    Recipients(Vec<String>),
    /// Seeds, by the names of their groups.
    Seeds(Vec<String>),
    /// Both.
    RecipientsAndSeeds {
        /// Addresses of recipients.
        recipients: Vec<String>,
        /// Names of seed groups.
        seeds: Vec<String>,
    },
}

/// What Confirm will do, to be shown before it is done.
#[derive(Debug, Clone)]
pub struct ConfirmPlan {
    /// Snapshot that will be sent.
    pub snapshot: String,
    /// Messages.
    pub messages: i64,
    /// By provider, largest first.
    pub providers: Vec<ProviderPlan>,
    /// Recipients left out, by reason.
    pub excluded: BTreeMap<String, i64>,
    /// Warnings of the analysis.
    pub warnings: usize,
    /// When sending begins (µs) when confirmed now.
    pub starts_at: i64,
    /// Messages expire at (µs) when confirmed now.
    pub valid_until: i64,
    /// The pool of sources that the messages go from.
    pub pool: String,
    /// Why Confirm is closed; `None`: it is open.
    pub closed: Option<Closed>,
}

/// Why a step is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// It is a template, which is never sent.
    Template,
    /// It was not analysed yet.
    NotAnalysed,
    /// An analysis runs.
    Analysing,
    /// The last analysis has errors.
    HasErrors,
    /// It was edited since the analysis.
    EditedSince,
    /// It is confirmed already.
    AlreadyConfirmed,
    /// It is over.
    Over,
    /// Nobody is left in the target.
    Nobody,
    /// Its contact date is past, by more than the grace.
    ContactDatePast,
    /// Its quiet hours were reckoned for a start right after the analysis.
    QuietHoursStale,
    /// Its approvers have not all approved it.
    AwaitingApproval,
    /// An approver rejected it.
    Rejected,
}

impl Closed {
    /// The reason in a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Closed::Template => "it is a template: make a delivery from it",
            Closed::NotAnalysed => "it was not analysed yet: analyse it first",
            Closed::Analysing => "its analysis still runs: wait for it, or stop it",
            Closed::HasErrors => "its analysis found errors: mend them, then analyse it again",
            Closed::EditedSince => "it was edited after its analysis: analyse it again",
            Closed::AlreadyConfirmed => "it is confirmed already",
            Closed::Over => "it is over: duplicate it to send again",
            Closed::Nobody => "no message would be sent: the target is empty after exclusions",
            Closed::ContactDatePast => {
                "its contact date is past: set a later one, or none to send as soon as possible, and analyse it again"
            }
            Closed::QuietHoursStale => {
                "its quiet hours were reckoned for a start right after the analysis, which is too long ago: analyse it again"
            }
            Closed::AwaitingApproval => {
                "its approvers have not approved it yet: wait for them, or remind them"
            }
            Closed::Rejected => "an approver rejected it: mend what they said, then analyse it again",
        }
    }
}

/// Errors of this room. The first four are the caller's to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such delivery.
    #[error("there is no delivery {0}")]
    NotFound(DeliveryId),
    /// No such thing of another kind.
    #[error("there is no such {0}")]
    NoSuch(&'static str),
    /// A field of the definition, or an input, is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state does not allow it.
    #[error("delivery {id} is {}: {reason}", .state.as_str())]
    State {
        /// The delivery.
        id: DeliveryId,
        /// Its state.
        state: State,
        /// Why not, and what to do.
        reason: String,
    },
    /// The one who asks may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody else edited it meanwhile.
    #[error("delivery {id} was changed by {} (revision {current}); load it again before you save",
        if .by.is_empty() { "somebody else" } else { .by })]
    Conflict {
        /// The delivery.
        id: DeliveryId,
        /// The revision by now.
        current: i64,
        /// Who made that; empty: not known.
        by: String,
        /// When (µs).
        at: i64,
    },
    /// A template is wrong.
    #[error("the content has {} problem(s); first: {}", .0.len(), .0.first().map(|p| p.to_string()).unwrap_or_default())]
    Content(Vec<content::Problem>),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Another room.
    #[error(transparent)]
    Audience(#[from] audience::Error),
    /// Another room.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// Another room.
    #[error(transparent)]
    Routes(#[from] routes::Error),
    /// Another room.
    #[error(transparent)]
    Files(#[from] content::Error),
    /// A defect of ours.
    #[error("internal: {0}")]
    Internal(String),
}

/// This room's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
