//! Notices: what the people who work here are told of a delivery. Each is a line on the page of its account; those that
//! ask somebody to act are mailed as well, where the account has an address.
//!
//! A mail of the program is a small delivery of its own ([`Purpose::Notice`]): composed, signed, tried again and logged
//! like any other, so that there is one way out of this house. It is in no list, has no rules and no links of ours, and
//! its text is sent as it is, never read as a template.

pub(crate) mod receivers;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use audience::RecipientRow;
use content::CompileOptions;
use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, binds};

use crate::ab::FrozenContent;
use crate::analyse::of_problem;
use crate::approval::{self, Approvals, Decision};
use crate::contacts::Contacts;
use crate::definition::{Definition, Validation};
use crate::folder::Refusal;
use crate::numbering::Parts;
use crate::personalise::{Contents, Reader};
use crate::records::{self, NewDelivery};
use crate::states::{self, By, Event};
use crate::timing::Timing;
use crate::types::{Delivery, DeliveryId, Error, Purpose, Result, Sources, State};
use crate::verdict::{self, Frozen};
use crate::{Deliveries, words};

/// Notices of one answer.
pub const NOTICES_MAX: usize = 100;
/// Longest text of a notice or mail, in bytes.
pub const NOTICE_LEN_MAX: usize = 20_000;
/// How long a mail of the program is tried.
const MAIL_VALIDITY: &str = "2d";
/// Findings that a notice of an analysis quotes.
const FINDINGS_QUOTED: usize = 5;

/// What a notice is of. Names are those of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// You are asked to approve.
    ApprovalAsked,
    /// The same, half of your time is over.
    ApprovalReminder,
    /// The approvers' time is over.
    ApprovalOverdue,
    /// An approver said yes or no.
    ApprovalDecided,
    /// Somebody accepted or rejected a proof.
    ProofDecided,
    /// The analysis ended.
    Analysed,
    /// Sending began.
    Started,
    /// The brake paused it, or holds a provider.
    Braked,
    /// The server was down at the contact date: it waits for a word.
    Late,
    /// The samples of an A/B test have had their time: the rest waits for somebody to choose.
    ChooseWinner,
    /// A receiver takes no mail from the sender's domain for now.
    DomainHalted,
    /// A receiver blocks a source that it goes from.
    SourceBlocked,
    /// A receiver objects to its content or links, and it is held there.
    ContentHeld,
    /// It is over.
    Finished,
}

impl NoticeKind {
    const ALL: [NoticeKind; 14] = [
        NoticeKind::ApprovalAsked,
        NoticeKind::ApprovalReminder,
        NoticeKind::ApprovalOverdue,
        NoticeKind::ApprovalDecided,
        NoticeKind::ProofDecided,
        NoticeKind::Analysed,
        NoticeKind::Started,
        NoticeKind::Braked,
        NoticeKind::Late,
        NoticeKind::ChooseWinner,
        NoticeKind::DomainHalted,
        NoticeKind::SourceBlocked,
        NoticeKind::ContentHeld,
        NoticeKind::Finished,
    ];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::ApprovalAsked => "approval_asked",
            NoticeKind::ApprovalReminder => "approval_reminder",
            NoticeKind::ApprovalOverdue => "approval_overdue",
            NoticeKind::ApprovalDecided => "approval_decided",
            NoticeKind::ProofDecided => "proof_decided",
            NoticeKind::Analysed => "analysed",
            NoticeKind::Started => "started",
            NoticeKind::Braked => "braked",
            NoticeKind::Late => "late",
            NoticeKind::ChooseWinner => "choose_winner",
            NoticeKind::DomainHalted => "domain_halted",
            NoticeKind::SourceBlocked => "source_blocked",
            NoticeKind::ContentHeld => "content_held",
            NoticeKind::Finished => "finished",
        }
    }

    /// What a mail of it begins its subject with.
    fn subject(self) -> &'static str {
        match self {
            NoticeKind::ApprovalAsked => "Please approve",
            NoticeKind::ApprovalReminder => "Reminder: please approve",
            NoticeKind::ApprovalOverdue => "Not approved in time",
            NoticeKind::ApprovalDecided => "Decision on",
            NoticeKind::ProofDecided => "Word on the proof of",
            NoticeKind::Analysed => "Analysed",
            NoticeKind::Started => "Started",
            NoticeKind::Braked => "Held by the brake",
            NoticeKind::Late => "Waits for you",
            NoticeKind::ChooseWinner => "Choose the winner of",
            NoticeKind::DomainHalted => "A receiver refuses the domain of",
            NoticeKind::SourceBlocked => "A receiver blocks a source of",
            NoticeKind::ContentHeld => "A receiver holds",
            NoticeKind::Finished => "Finished",
        }
    }

    /// Is it mailed too? What asks for an act is; what only tells is on the page.
    fn is_mailed(self) -> bool {
        !matches!(self, NoticeKind::Analysed | NoticeKind::Started | NoticeKind::ProofDecided)
    }
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Number.
    pub id: i64,
    /// What it is of.
    pub kind: NoticeKind,
    /// The delivery that it is of.
    pub delivery: Option<DeliveryId>,
    /// What there is to know, with figures.
    pub text: String,
    /// When (µs).
    pub at: i64,
    /// When it was read (µs).
    pub read_at: Option<i64>,
}

/// A future of a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What this room must know of accounts. Filled by the wiring.
pub trait Accounts: Send + Sync + 'static {
    /// The mail address of an account, empty when it has none; `None`: there is no such account.
    fn address_of<'a>(&'a self, account: &'a str) -> Pending<'a, Option<String>>;
    /// Names of the accounts that may administer: they can mend what concerns a source or a domain.
    fn administrators(&self) -> Pending<'_, Vec<String>>;
}

impl Deliveries {
    /// Says where accounts have their addresses. Without it, a notice is mailed only to accounts whose name is an
    /// address. Call once, before use; a second call changes nothing.
    pub fn set_accounts(&self, accounts: Arc<dyn Accounts>) {
        let _ = self.accounts.set(accounts);
    }

    /// Notices of an account, newest first, at most [`NOTICES_MAX`]; those below `before` when it is given.
    pub async fn notices(&self, account: &str, unread: bool, before: Option<i64>) -> Result<Vec<Notice>> {
        let account = account.to_owned();
        self.store
            .read(move |tx| {
                let only = if unread { " AND read_at IS NULL" } else { "" };
                let sql = format!(
                    "SELECT id, kind, delivery, message, at, read_at FROM notice WHERE account = $1 AND id < $2{only} \
                     ORDER BY id DESC LIMIT {NOTICES_MAX}"
                );
                tx.query(&sql, &binds![account, before.unwrap_or(i64::MAX)], read)
            })
            .await
    }

    /// How many notices an account has not read.
    pub async fn unread_notices(&self, account: &str) -> Result<i64> {
        let account = account.to_owned();
        let sql = "SELECT count(*) FROM notice WHERE account = $1 AND read_at IS NULL";
        self.store
            .read(move |tx| tx.query_one(sql, &binds![account], |row| row.int(0).map_err(Error::from)))
            .await
    }

    /// Marks notices of an account as read, up to and with this one.
    pub async fn read_notices(&self, account: &str, up_to: i64) -> Result<()> {
        let (account, now_us) = (account.to_owned(), self.now_us());
        self.store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "UPDATE notice SET read_at = $3 WHERE account = $1 AND id <= $2 AND read_at IS NULL",
                    &binds![account, up_to, now_us],
                )?;
                Ok(())
            })
            .await
    }

    /// Tells the owner of a delivery something. Nothing where it has no owner.
    pub async fn notify(&self, id: DeliveryId, kind: NoticeKind, text: &str) -> Result<()> {
        let delivery = self.get(id).await?;
        self.tell_owner(&delivery, kind, text).await
    }

    pub(crate) async fn tell_owner(&self, delivery: &Delivery, kind: NoticeKind, text: &str) -> Result<()> {
        if delivery.owner.is_empty() || delivery.parent.is_some() || delivery.purpose == Purpose::Notice {
            return Ok(());
        }
        self.tell(&delivery.owner, delivery, kind, text).await
    }

    /// Keeps a notice and mails it where its kind is mailed. What goes wrong with the mail is told in the log only:
    /// the notice is on the page.
    async fn tell(&self, account: &str, delivery: &Delivery, kind: NoticeKind, text: &str) -> Result<()> {
        let (row, now_us) = ((account.to_owned(), delivery.id, text.to_owned()), self.now_us());
        self.store
            .write(Lane::Urgent, move |tx| {
                let (account, delivery, text) = row;
                keep(tx, &account, delivery, kind, &text, now_us)
            })
            .await?;
        self.mail_notice(account, (delivery.id, &delivery.label), kind, text).await;
        Ok(())
    }

    /// Mails a notice that is kept, where its kind is mailed and the account has an address.
    async fn mail_notice(&self, account: &str, of: (DeliveryId, &str), kind: NoticeKind, text: &str) {
        if !kind.is_mailed() {
            return;
        }
        let Some(address) = self.address_of(account).await else { return };
        let (delivery, label) = of;
        let subject = format!("{}: {label}", kind.subject());
        let text = format!("{text}\n\n{}/deliveries/{delivery}\n", self.config().public_url);
        if let Err(error) = self.send_notice(&address, &subject, &text).await {
            tracing::warn!(delivery, kind = kind.as_str(), %error, "a notice could not be mailed");
        }
    }

    /// Refuses names that are no accounts: nobody could ever approve in their name. `seen` is what stood there before,
    /// which may have lost its account since.
    pub(crate) async fn check_accounts(&self, now: &Validation, seen: Option<&Validation>) -> Result<()> {
        let Some(accounts) = self.accounts.get() else { return Ok(()) };
        let groups = |of: &Validation| {
            [
                ("validation.approvers", of.approvers.clone()),
                ("validation.content_approvers", of.content_approvers.clone()),
                ("validation.target_approvers", of.target_approvers.clone()),
                ("validation.reviewers", of.reviewers.clone()),
            ]
        };
        let known: Vec<String> = seen
            .map(|seen| groups(seen).into_iter().flat_map(|(_, names)| names).collect())
            .unwrap_or_default();
        for (field, names) in groups(now) {
            for name in names.iter().filter(|name| !known.contains(name)) {
                if accounts.address_of(name).await.is_none() {
                    return Err(
                        Refusal::new(field, format!("names {name:?}, which is no account here")).into()
                    );
                }
            }
        }
        Ok(())
    }

    async fn address_of(&self, account: &str) -> Option<String> {
        let known = match self.accounts.get() {
            Some(accounts) => accounts.address_of(account).await,
            None => None,
        };
        known
            .filter(|address| !address.is_empty())
            .or_else(|| address::parse(account).is_ok().then(|| account.to_owned()))
    }

    pub(crate) async fn tell_approvers(
        &self,
        delivery: &Delivery,
        standing: &Approvals,
        kind: NoticeKind,
    ) -> Result<()> {
        let text = self.asking_words(delivery, standing).await?;
        for account in approval::silent(standing) {
            self.tell(&account, delivery, kind, &text).await?;
        }
        Ok(())
    }

    pub(crate) async fn tell_decision(
        &self,
        delivery: &Delivery,
        standing: &Approvals,
        decision: Decision,
        by: &By,
    ) -> Result<()> {
        if delivery.owner == by.name {
            return Ok(());
        }
        let said = standing.decisions.iter().find(|said| said.account == by.name);
        let comment = said.map(|said| said.comment.as_str()).filter(|comment| !comment.is_empty());
        let verb = if decision == Decision::Approved { "approved" } else { "rejected" };
        let mut text = format!("{} {verb} {}.", by.name, delivery.label);
        if let Some(comment) = comment {
            text.push_str(&format!("\n\n{comment}"));
        }
        if standing.complete {
            text.push_str("\n\nNothing more is missing: it may be confirmed.");
        }
        self.tell_owner(delivery, NoticeKind::ApprovalDecided, &text).await
    }

    /// Tells the owner how the analysis ended.
    pub(crate) async fn tell_analysed(&self, delivery: &Delivery) -> Result<()> {
        if delivery.state == State::Draft {
            // It was stopped: whoever did that knows.
            return Ok(());
        }
        let figures = self.analysis_words(delivery).await?;
        let text = match delivery.state {
            State::Failed => format!("The analysis of {} found errors.\n\n{figures}", delivery.label),
            _ => format!("{} is analysed.\n\n{figures}", delivery.label),
        };
        self.tell_owner(delivery, NoticeKind::Analysed, &text).await
    }

    async fn asking_words(&self, delivery: &Delivery, standing: &Approvals) -> Result<String> {
        let figures = self.analysis_words(delivery).await?;
        let until =
            standing.due_at.map(|at| format!("\nYou have time until {}.", instant(at))).unwrap_or_default();
        let snapshot = standing.snapshot.as_deref().unwrap_or_default();
        Ok(format!(
            "You are asked to approve the delivery {}.\n\n{figures}\nSnapshot: {snapshot}{until}\n\nLook at it, then \
             approve or reject it on its page, or with\n  mailwright delivery approve {} --snapshot {snapshot}",
            delivery.label, delivery.id
        ))
    }

    /// Figures of an analysis with its first findings, a line each.
    async fn analysis_words(&self, delivery: &Delivery) -> Result<String> {
        let Some(analysis) = self.analysis(delivery.id).await? else { return Ok(String::new()) };
        let excluded: i64 = analysis.excluded.values().sum();
        let mut text = format!(
            "Messages: {}\nLeft out: {}\n",
            words::number(analysis.to_deliver),
            words::number(excluded)
        );
        let worth = |finding: &&typology::Finding| finding.level != typology::Level::Info;
        let count = analysis.findings.iter().filter(worth).count();
        for finding in analysis.findings.iter().filter(worth).take(FINDINGS_QUOTED) {
            text.push_str(&format!("{}: {}\n", finding.level.as_str(), finding.text));
        }
        if count > FINDINGS_QUOTED {
            text.push_str(&format!("… and {} more in the journal\n", count - FINDINGS_QUOTED));
        }
        Ok(text)
    }

    /// Sends a mail of the program to one address: plain text, at once, with very high priority. The number of its
    /// delivery is returned, whose log says what became of it.
    ///
    /// # Errors
    /// [`Error::Refused`] when the address is none, or when the instance has no sender (setting `from_address`).
    pub async fn send_notice(&self, to: &str, subject: &str, text: &str) -> Result<DeliveryId> {
        if self.config().from_address.trim().is_empty() {
            let text = "is not set, so mails of the program have no sender: set it under Settings";
            return Err(Refusal::new("from_address", text).into());
        }
        let reader = nobody(to)?;
        let delivery = self.create_notice(subject, text).await?;
        match self.prepare_notice(&delivery, reader).await {
            Ok(snapshot) => {
                self.confirm(delivery.id, Some(&snapshot), &By::system()).await?;
                Ok(delivery.id)
            }
            Err(error) => {
                let (id, now_us, why) = (delivery.id, self.now_us(), error.to_string());
                self.store
                    .write(Lane::Urgent, move |tx| {
                        states::change(tx, id, Event::AnalysisFailed, &By::system(), &why, now_us).map(drop)
                    })
                    .await?;
                Err(error)
            }
        }
    }

    async fn create_notice(&self, subject: &str, text: &str) -> Result<Delivery> {
        let definition = plain(&one_line(subject));
        let sources = Sources { text: Some(cut(text)), ..Sources::default() };
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                let new = NewDelivery {
                    definition: &definition,
                    sources: &sources,
                    is_template: false,
                    by: "",
                    parent: None,
                    proof_no: 0,
                    label: &definition.label,
                    origin: None,
                    purpose: Purpose::Notice,
                    now_us,
                };
                let id = records::insert(tx, &new)?;
                states::change(tx, id, Event::AnalysisBegan, &By::system(), "", now_us)?;
                records::get(tx, id)
            })
            .await
    }

    /// Compiles, evaluates and freezes a mail for its reader; the snapshot's hash is returned.
    async fn prepare_notice(&self, delivery: &Delivery, reader: Reader) -> Result<String> {
        let draft = self.draft_of(&delivery.definition, &delivery.sources(), &[]).map_err(Error::Content)?;
        let options = self.compile_options(delivery.id, &delivery.definition, 0, true).await?;
        let options = CompileOptions { list_unsubscribe: false, feedback_id: String::new(), ..options };
        let compiled = tokio::task::spawn_blocking(move || content::compile(&draft, &options))
            .await
            .map_err(|panic| Error::Internal(format!("compiling panicked: {panic}")))?
            .map_err(Error::Content)?;
        let content = FrozenContent::of(&compiled.snapshot);
        let snapshot = content.hash.clone();
        let contents = Contents::one(compiled);
        let mut parts = Parts::new(snapshot.clone(), 1, self.now_us());
        let readers = Arc::new(vec![reader]);
        let room = (&mut parts, &mut Contacts::default());
        let evaluated = self.evaluate_readers(delivery, &contents, &readers, room).await?;
        if let Some(failure) = evaluated.failures.first() {
            let finding = of_problem(&failure.problem, failure.level);
            if failure.level == typology::Level::Error {
                return Err(Error::Internal(format!("a mail of the program: {}", finding.text)));
            }
        }
        let frozen = Frozen {
            snapshot: snapshot.clone(),
            contents: vec![content],
            ab: None,
            quiet: Vec::new(),
            arbitrated: None,
            parts: parts.finish(),
            timing: Timing::at_once("notice", 1, routes::DEFAULT_POOL.to_owned()),
        };
        let (id, revision, now_us) = (delivery.id, delivery.revision, self.now_us());
        self.store.write(Lane::Urgent, move |tx| verdict::freeze(tx, id, revision, frozen, now_us)).await?;
        Ok(snapshot)
    }

    /// After the state of a run changed: tells its owner of the start and of the end.
    pub(crate) async fn tell_progress(
        &self,
        id: DeliveryId,
        to: State,
        figures: &queue::RunFigures,
    ) -> Result<()> {
        let (kind, what) = match to {
            State::InProgress => (NoticeKind::Started, "Sending began"),
            State::Finished if figures.expired => (NoticeKind::Finished, "The validity period is over"),
            State::Finished => (NoticeKind::Finished, "Finished"),
            State::Stopped => (NoticeKind::Finished, "Stopped"),
            _ => return Ok(()),
        };
        let delivery = match self.get(id).await {
            Err(Error::NotFound(_)) => return Ok(()),
            other => other?,
        };
        if kind == NoticeKind::Started && self.was_told(id, kind, &delivery).await? {
            return Ok(());
        }
        let text = format!(
            "{what}: {}.\n\nMessages: {}\nSent: {}\nFailed: {}\nCancelled: {}\nPending: {}",
            delivery.label,
            words::number(figures.messages),
            words::number(figures.sent),
            words::number(figures.failed),
            words::number(figures.cancelled),
            words::number(figures.pending)
        );
        self.tell_owner(&delivery, kind, &text).await
    }

    /// A delivery begins again after each pause and each wave; that is told once.
    async fn was_told(&self, id: DeliveryId, kind: NoticeKind, delivery: &Delivery) -> Result<bool> {
        let owner = delivery.owner.clone();
        self.store
            .read(move |tx| {
                let found: i64 = tx.query_one(
                    "SELECT count(*) FROM notice WHERE account = $1 AND delivery = $2 AND kind = $3",
                    &binds![owner, id, kind.as_str()],
                    |row| row.int(0).map_err(Error::from),
                )?;
                Ok(found > 0)
            })
            .await
    }
}

/// Keeps a notice.
fn keep(
    tx: &mut Tx<'_>,
    account: &str,
    delivery: DeliveryId,
    kind: NoticeKind,
    text: &str,
    now_us: i64,
) -> Result<()> {
    tx.execute(
        "INSERT INTO notice (account, delivery, kind, message, at) VALUES ($1, $2, $3, $4, $5)",
        &binds![account, delivery, kind.as_str(), cut(text), now_us],
    )?;
    Ok(())
}

/// A text mail without anything of ours in it.
fn plain(subject: &str) -> Definition {
    let mut definition = Definition::new(subject);
    definition.subject = subject.to_owned();
    definition.content.personalise = false;
    definition.parameters.format = "text".into();
    definition.parameters.mirror_page = "never".into();
    definition.parameters.validity = MAIL_VALIDITY.into();
    definition.tracking.opens = false;
    definition.tracking.clicks = false;
    definition
}

/// A reader who is no recipient.
fn nobody(to: &str) -> Result<Reader> {
    let to = to.trim();
    let mailbox =
        address::parse(to).map_err(|error| Refusal::new("to", format!("{to:?} is no address: {error}")))?;
    let domain = mailbox.domain_ascii().to_owned();
    Ok(Reader { row: RecipientRow::default(), address: to.to_owned(), domain, variant: None, content: 0 })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(NOTICE_LEN_MAX)].replace('\0', "")
}

/// `2026-12-01 08:00 UTC`.
fn instant(at_us: i64) -> String {
    match jiff::Timestamp::from_microsecond(at_us) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => at_us.to_string(),
    }
}

fn read(row: &Row<'_>) -> Result<Notice> {
    let kind = row.text(1)?;
    Ok(Notice {
        id: row.int(0)?,
        kind: NoticeKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| Error::Internal(format!("stored notice {kind:?}")))?,
        delivery: row.int_opt(2)?,
        text: row.text(3)?,
        at: row.int(4)?,
        read_at: row.int_opt(5)?,
    })
}

/// Notices older than this are deleted, in days.
const NOTICE_DAYS: i64 = 180;

/// Deletes old notices.
pub(crate) fn purge(tx: &mut Tx<'_>, now_us: i64) -> Result<()> {
    let before_us = now_us - NOTICE_DAYS * 86_400 * crate::parameters::SECOND_US;
    tx.execute("DELETE FROM notice WHERE at < $1", &binds![before_us])?;
    receivers::purge(tx, now_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_and_a_text_is_bounded() {
        assert_eq!(one_line("a\r\nBcc: b"), "a  Bcc: b");
        let long = "é".repeat(NOTICE_LEN_MAX);
        assert!(cut(&long).len() <= NOTICE_LEN_MAX);
        assert_eq!(instant(1_790_000_000_000_000), "2026-09-21 14:13 UTC");
    }

    #[test]
    fn a_mail_goes_to_an_address() {
        assert_eq!(nobody(" ann@shop.example ").unwrap().domain, "shop.example");
        assert!(nobody("ann").is_err());
    }
}
