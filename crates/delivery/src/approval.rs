//! Approval: who must say yes to what was analysed before anybody may start it, and deliveries that start themselves.
//!
//! Two topics are approved: the content and the target. `validation.approvers` judge both, `content_approvers` and
//! `target_approvers` one of them. A topic with approvers needs `approvals_needed` of them (all, when there are fewer);
//! one without needs none. An approval names the snapshot that its giver saw, and counts for that analysis alone: an
//! edit and a new analysis withdraw it. One rejection closes Confirm until the rejecter approves, or until the next
//! analysis.
//!
//! `semi_automatic` starts when the analysis warned of nothing, `automatic` whatever it warned of; both wait for the
//! approvers, and errors always block. Neither lets somebody start who may not: what counts is the right of whoever
//! asked for the analysis. After the approvers' time is over nothing starts by itself any more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, binds};
use typology::Level;

use crate::confirm;
use crate::definition::Validation;
use crate::folder::Refusal;
use crate::life::owner_words;
use crate::notices::NoticeKind;
use crate::parameters;
use crate::states::{self, By};
use crate::types::{Closed, Delivery, DeliveryId, Error, Purpose, Result, State};
use crate::{Deliveries, journal, records, words};

/// Most accounts that one group of approvers or reviewers names.
pub const APPROVERS_MAX: usize = 50;
/// Longest comment of an approver, in bytes.
pub const COMMENT_LEN_MAX: usize = 2_000;

/// What an approver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may be sent.
    Approved,
    /// It may not.
    Rejected,
}

impl Decision {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Approved => "approved",
            Decision::Rejected => "rejected",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Decision> {
        match name {
            "approved" => Ok(Decision::Approved),
            "rejected" => Ok(Decision::Rejected),
            _ => Err(Error::Internal(format!("stored decision {name:?}"))),
        }
    }
}

/// What one approver said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Account.
    pub account: String,
    /// Yes or no.
    pub decision: Decision,
    /// What they wrote; may be empty.
    pub comment: String,
    /// Hash of the snapshot that they saw.
    pub snapshot: String,
    /// When (µs).
    pub at: i64,
    /// When it stopped to count (µs); none: it counts.
    pub withdrawn_at: Option<i64>,
    /// Why it does not count any more.
    pub withdrawn_why: String,
}

/// What is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What the message says and how it looks.
    Content,
    /// Who gets it.
    Target,
}

/// How far a topic is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicStatus {
    /// Which.
    pub topic: Topic,
    /// Accounts that may approve it.
    pub approvers: Vec<String>,
    /// Approvals that it needs.
    pub needed: usize,
    /// Approvals that it has.
    pub given: usize,
}

/// How a delivery stands with its approvers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approvals {
    /// `manual`, `semi_automatic` or `automatic`.
    pub mode: String,
    /// Topics that have approvers; empty: nobody is asked.
    pub topics: Vec<TopicStatus>,
    /// Hash of the snapshot that approvers were asked about; none: they were not asked (yet, or after an edit).
    pub snapshot: Option<String>,
    /// When they were asked (µs).
    pub asked_at: Option<i64>,
    /// Until when they have time (µs).
    pub due_at: Option<i64>,
    /// What counts now, oldest first.
    pub decisions: Vec<Approval>,
    /// What does not count any more, newest first, at most 50.
    pub withdrawn: Vec<Approval>,
    /// Every topic has what it needs, and nobody rejected it. True where nobody is asked.
    pub complete: bool,
}

/// Lines of withdrawn approvals that are shown.
const WITHDRAWN_SHOWN: i64 = 50;

/// A request that runs.
pub(crate) struct Request {
    pub snapshot: String,
    pub asked_at: i64,
    pub due_at: i64,
}

impl Deliveries {
    /// How a delivery stands with its approvers.
    pub async fn approvals(&self, id: DeliveryId) -> Result<Approvals> {
        self.store
            .read(move |tx| {
                let delivery = records::get(tx, id)?;
                standing(tx, &delivery)
            })
            .await
    }

    /// An approver says yes or no to the analysed snapshot. Refused when that is another one by now, and for those who
    /// are no approvers. Saying it again with the other word takes the first back. The last yes starts a delivery that
    /// starts itself.
    pub async fn decide(
        &self,
        id: DeliveryId,
        decision: Decision,
        snapshot: &str,
        comment: &str,
        by: &By,
    ) -> Result<Approvals> {
        if comment.len() > COMMENT_LEN_MAX {
            return Err(Refusal::new("comment", format!("is longer than {COMMENT_LEN_MAX} bytes")).into());
        }
        let (now_us, who, seen) = (self.now_us(), by.name.clone(), snapshot.trim().to_owned());
        let comment = comment.trim().to_owned();
        let (delivery, standing) = self
            .store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let delivery = records::get(tx, id)?;
                may_decide(&delivery, &who, &seen)?;
                let said = Said { account: &who, decision, snapshot: &seen, comment: &comment };
                keep(tx, id, &said, now_us)?;
                let standing = standing(tx, &delivery)?;
                Ok::<_, Error>((delivery, standing))
            })
            .await?;
        self.tell_decision(&delivery, &standing, decision, by).await?;
        if standing.complete && decision == Decision::Approved {
            self.start_itself(id).await?;
        }
        self.approvals(id).await
    }

    /// After an analysis: asks the approvers, or starts what starts itself. Errors are told in the journal.
    pub(crate) async fn after_analysis(&self, id: DeliveryId) -> Result<()> {
        let now_us = self.now_us();
        let (delivery, standing) = self
            .store
            .write(Lane::Urgent, move |tx| {
                let delivery = records::get(tx, id)?;
                let mut standing = standing(tx, &delivery)?;
                if delivery.state == State::Ready && !standing.topics.is_empty() {
                    ask(tx, &delivery, now_us)?;
                    standing = self::standing(tx, &delivery)?;
                }
                Ok::<_, Error>((delivery, standing))
            })
            .await?;
        if delivery.parent.is_some() || delivery.purpose == Purpose::Notice {
            return Ok(());
        }
        self.tell_analysed(&delivery).await?;
        if delivery.state != State::Ready {
            return Ok(());
        }
        if standing.topics.is_empty() {
            return self.start_itself(id).await;
        }
        self.tell_approvers(&delivery, &standing, NoticeKind::ApprovalAsked).await
    }

    /// Starts a delivery whose mode says so and whose approvers, if any, all agreed.
    async fn start_itself(&self, id: DeliveryId) -> Result<()> {
        let now_us = self.now_us();
        let answer = self
            .store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let delivery = records::get(tx, id)?;
                let reason = why_not_itself(tx, &delivery, now_us)?;
                if let Some(Some(reason)) = &reason {
                    journal::note(tx, id, now_us, Level::Info, &format!("Not started by itself: {reason}"))?;
                }
                Ok::<_, Error>(reason.is_none().then_some(delivery.snapshot).flatten())
            })
            .await?;
        let Some(snapshot) = answer else { return Ok(()) };
        match self.confirm(id, Some(&snapshot), &By::system()).await {
            // Somebody was quicker.
            Ok(_) | Err(Error::State { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reminds approvers at half of their time, and tells owners when it is over.
    pub(crate) async fn approvals_due(&self, now_us: i64) -> Result<()> {
        let due: Vec<(DeliveryId, bool)> = self
            .store
            .read(move |tx| {
                tx.query(
                    "SELECT delivery, due_at <= $1 FROM approval_request WHERE overdue_at IS NULL AND \
                     (due_at <= $1 OR (reminded_at IS NULL AND remind_at <= $1)) ORDER BY delivery LIMIT 100",
                    &binds![now_us],
                    |row| Ok::<_, Error>((row.int(0)?, row.bool(1)?)),
                )
            })
            .await?;
        for (id, over) in due {
            self.approval_due(id, over, now_us).await?;
        }
        Ok(())
    }

    async fn approval_due(&self, id: DeliveryId, over: bool, now_us: i64) -> Result<()> {
        let found = self
            .store
            .write(Lane::Urgent, move |tx| {
                let column = if over { "overdue_at" } else { "reminded_at" };
                // One of several nodes does it.
                let sql = format!(
                    "UPDATE approval_request SET {column} = $2 WHERE delivery = $1 AND {column} IS NULL"
                );
                if tx.execute(&sql, &binds![id, now_us])? == 0 {
                    return Ok(None);
                }
                let delivery = match records::get(tx, id) {
                    Err(Error::NotFound(_)) => return Ok(None),
                    other => other?,
                };
                let standing = standing(tx, &delivery)?;
                if delivery.state != State::Ready || standing.complete {
                    return Ok(None);
                }
                let text = if over { "The time of the approvers is over" } else { "Approvers reminded" };
                journal::note(tx, id, now_us, Level::Info, text)?;
                Ok::<_, Error>(Some((delivery, standing)))
            })
            .await?;
        let Some((delivery, standing)) = found else { return Ok(()) };
        if over {
            return self
                .tell_owner(&delivery, NoticeKind::ApprovalOverdue, &overdue_words(&delivery, &standing))
                .await;
        }
        self.tell_approvers(&delivery, &standing, NoticeKind::ApprovalReminder).await
    }

    /// Reminds the approvers who have said nothing yet, now. For the owner, reviewers and administrators.
    pub async fn remind_approvers(&self, id: DeliveryId, by: &By) -> Result<()> {
        let (now_us, who) = (self.now_us(), by.clone());
        let (delivery, standing) = self
            .store
            .write(Lane::Urgent, move |tx| {
                let delivery = records::get(tx, id)?;
                let standing = standing(tx, &delivery)?;
                if standing.snapshot.is_none() || standing.complete {
                    let reason = "no approver is asked for anything at the moment".to_owned();
                    return Err(Error::State { id, state: delivery.state, reason });
                }
                let text = format!("Approvers reminded{}", who.suffix());
                journal::note(tx, id, now_us, Level::Info, &text)?;
                Ok((delivery, standing))
            })
            .await?;
        self.tell_approvers(&delivery, &standing, NoticeKind::ApprovalReminder).await
    }
}

struct Said<'a> {
    account: &'a str,
    decision: Decision,
    snapshot: &'a str,
    comment: &'a str,
}

fn keep(tx: &mut Tx<'_>, id: DeliveryId, said: &Said<'_>, now_us: i64) -> Result<()> {
    tx.execute(
        "UPDATE approval SET withdrawn_at = $3, withdrawn_why = 'decided anew' \
         WHERE delivery = $1 AND account = $2 AND withdrawn_at IS NULL",
        &binds![id, said.account, now_us],
    )?;
    tx.execute(
        "INSERT INTO approval (delivery, snapshot, account, decision, comment, at) VALUES ($1, $2, $3, $4, $5, $6)",
        &binds![id, said.snapshot, said.account, said.decision.as_str(), said.comment, now_us],
    )?;
    let (word, level) = match said.decision {
        Decision::Approved => ("Approved", Level::Info),
        Decision::Rejected => ("Rejected", Level::Warning),
    };
    let comment = if said.comment.is_empty() { String::new() } else { format!(": {}", said.comment) };
    journal::note(tx, id, now_us, level, &format!("{word} by {}{comment}", said.account))
}

/// The topics that have approvers, with nobody's word yet.
fn topics(validation: &Validation) -> Vec<TopicStatus> {
    let named =
        [(Topic::Content, &validation.content_approvers), (Topic::Target, &validation.target_approvers)];
    let mut found = Vec::new();
    for (topic, own) in named {
        let mut seen = BTreeSet::new();
        let all = validation.approvers.iter().chain(own).map(|name| name.trim().to_owned());
        let approvers: Vec<String> =
            all.filter(|name| !name.is_empty() && seen.insert(name.clone())).collect();
        if !approvers.is_empty() {
            let needed = (validation.approvals_needed.max(1) as usize).min(approvers.len());
            found.push(TopicStatus { topic, approvers, needed, given: 0 });
        }
    }
    found
}

/// Everybody who may say something.
fn approvers(topics: &[TopicStatus]) -> BTreeSet<String> {
    topics.iter().flat_map(|topic| topic.approvers.iter().cloned()).collect()
}

/// Those who have said nothing yet.
pub(crate) fn silent(standing: &Approvals) -> Vec<String> {
    let said: BTreeSet<_> = standing.decisions.iter().map(|decision| decision.account.as_str()).collect();
    approvers(&standing.topics).into_iter().filter(|name| !said.contains(name.as_str())).collect()
}

pub(crate) fn standing(tx: &mut Tx<'_>, delivery: &Delivery) -> Result<Approvals> {
    let mut topics = topics(&delivery.definition.validation);
    let request = request(tx, delivery.id)?;
    let decisions = approvals(tx, delivery.id, "withdrawn_at IS NULL ORDER BY id")?;
    let tail = format!("withdrawn_at IS NOT NULL ORDER BY id DESC LIMIT {WITHDRAWN_SHOWN}");
    let withdrawn = approvals(tx, delivery.id, &tail)?;
    for topic in &mut topics {
        let yes = decisions.iter().filter(|said| said.decision == Decision::Approved);
        topic.given = yes.filter(|said| topic.approvers.contains(&said.account)).count();
    }
    let rejected = decisions.iter().any(|said| said.decision == Decision::Rejected);
    let complete = !rejected && topics.iter().all(|topic| topic.given >= topic.needed);
    Ok(Approvals {
        mode: delivery.definition.validation.approval.clone(),
        topics,
        asked_at: request.as_ref().map(|request| request.asked_at),
        due_at: request.as_ref().map(|request| request.due_at),
        snapshot: request.map(|request| request.snapshot),
        decisions,
        withdrawn,
        complete,
    })
}

/// Why the approvers keep Confirm closed; `None`: they do not. Proofs and the program's own mails have none.
pub(crate) fn gate(tx: &mut Tx<'_>, delivery: &Delivery) -> Result<Option<Closed>> {
    if delivery.parent.is_some() || delivery.purpose == Purpose::Notice {
        return Ok(None);
    }
    let standing = standing(tx, delivery)?;
    if standing.complete {
        return Ok(None);
    }
    let rejected = standing.decisions.iter().any(|said| said.decision == Decision::Rejected);
    Ok(Some(if rejected { Closed::Rejected } else { Closed::AwaitingApproval }))
}

/// May this account confirm it? The owner, reviewers and administrators, with the right to start.
///
/// # Errors
/// [`Error::Forbidden`], in words.
pub fn may_start(delivery: &Delivery, by: &By) -> Result<()> {
    if by.administer {
        return Ok(());
    }
    if !by.start {
        let text = format!(
            "{} may prepare deliveries, but not start them; an administrator gives that right",
            by.name
        );
        return Err(Error::Forbidden(text));
    }
    let reviewers = &delivery.definition.validation.reviewers;
    if delivery.owner.is_empty() || delivery.owner == by.name || reviewers.contains(&by.name) {
        return Ok(());
    }
    let reviewers = if reviewers.is_empty() {
        String::new()
    } else {
        format!(", its reviewers ({})", reviewers.join(", "))
    };
    let owner = owner_words(delivery);
    Err(Error::Forbidden(format!("only {owner}{reviewers} and administrators may start this delivery")))
}

fn may_decide(delivery: &Delivery, who: &str, seen: &str) -> Result<()> {
    let refuse = |reason: String| Error::State { id: delivery.id, state: delivery.state, reason };
    let who_may = approvers(&topics(&delivery.definition.validation));
    if !who_may.contains(who) {
        let named: Vec<_> = who_may.into_iter().collect();
        return Err(Error::Forbidden(match named.is_empty() {
            true => "this delivery has no approvers; name them under its validation".to_owned(),
            false => format!("{who} is no approver of this delivery; its approvers are {}", named.join(", ")),
        }));
    }
    if let Some(closed) = confirm::closed(delivery) {
        return Err(refuse(closed.text().to_owned()));
    }
    match &delivery.snapshot {
        Some(analysed) if analysed == seen => Ok(()),
        Some(analysed) => Err(refuse(format!(
            "snapshot {seen} is no longer what was analysed; that is {analysed}: look at it again"
        ))),
        None => Err(refuse(Closed::NotAnalysed.text().to_owned())),
    }
}

/// Why a delivery does not start by itself: `None` it does, `Some(None)` nobody expects it to, else in words.
fn why_not_itself(tx: &mut Tx<'_>, delivery: &Delivery, now_us: i64) -> Result<Option<Option<String>>> {
    let mode = delivery.definition.validation.approval.as_str();
    let provisional = !delivery.definition.schedule.automatic;
    if mode == "manual" || provisional || confirm::closed(delivery).is_some() {
        return Ok(Some(None));
    }
    if gate(tx, delivery)?.is_some() {
        return Ok(Some(None));
    }
    let starts_itself =
        tx.query_one("SELECT starts_itself FROM delivery WHERE id = $1", &binds![delivery.id], |row| {
            row.bool(0).map_err(Error::from)
        })?;
    if !starts_itself {
        return Ok(Some(Some(
            "whoever asked for the analysis may not start it; confirm it by hand".to_owned(),
        )));
    }
    let late = request(tx, delivery.id)?.is_some_and(|request| request.due_at <= now_us);
    if late {
        return Ok(Some(Some("the time of the approvers was over; confirm it by hand".to_owned())));
    }
    let lines = journal::lines(tx, delivery.id)?;
    let warnings = lines.iter().filter(|line| line.level == Level::Warning && !line.rule.is_empty()).count();
    if mode == "semi_automatic" && warnings > 0 {
        let count = words::counted(warnings as i64, "warning", "warnings");
        return Ok(Some(Some(format!("the analysis has {count}; look at them, then confirm it by hand"))));
    }
    Ok(None)
}

/// A new analysis: what was approved before does not count for it.
pub(crate) fn begin(tx: &mut Tx<'_>, delivery: &Delivery, by: &By, now_us: i64) -> Result<()> {
    withdraw(tx, delivery.id, "a new analysis began", now_us)?;
    // The program begins again what somebody asked for: their right stays.
    if !by.is_system() {
        let may = may_start(delivery, by).is_ok();
        tx.execute("UPDATE delivery SET starts_itself = $2 WHERE id = $1", &binds![delivery.id, may])?;
    }
    Ok(())
}

/// Takes back every approval that counts, and the question.
pub(crate) fn withdraw(tx: &mut Tx<'_>, id: DeliveryId, why: &str, now_us: i64) -> Result<()> {
    tx.execute("DELETE FROM approval_request WHERE delivery = $1", &binds![id])?;
    let count = tx.execute(
        "UPDATE approval SET withdrawn_at = $2, withdrawn_why = $3 WHERE delivery = $1 AND withdrawn_at IS NULL",
        &binds![id, now_us, why],
    )?;
    if count == 0 {
        return Ok(());
    }
    let count = words::counted(count as i64, "decision", "decisions");
    let text = format!("{count} of approvers withdrawn, because {why}");
    journal::note(tx, id, now_us, Level::Warning, &text)
}

fn ask(tx: &mut Tx<'_>, delivery: &Delivery, now_us: i64) -> Result<()> {
    let Some(snapshot) = &delivery.snapshot else { return Ok(()) };
    let given_us = time_us(&delivery.definition.validation)?;
    tx.execute("DELETE FROM approval_request WHERE delivery = $1", &binds![delivery.id])?;
    tx.execute(
        "INSERT INTO approval_request (delivery, snapshot, asked_at, remind_at, due_at) VALUES ($1, $2, $3, $4, $5)",
        &binds![delivery.id, snapshot.as_str(), now_us, now_us + given_us / 2, now_us + given_us],
    )?;
    let asked: Vec<_> = approvers(&topics(&delivery.definition.validation)).into_iter().collect();
    let text = format!("Approval asked of {}", asked.join(", "));
    journal::note(tx, delivery.id, now_us, Level::Info, &text)
}

fn time_us(validation: &Validation) -> Result<i64, Refusal> {
    let text = &validation.approval_deadline;
    parameters::duration_us(text).ok_or_else(|| {
        Refusal::new("validation.approval_deadline", format!("{text:?} is no duration: write 3d, or 12h"))
    })
}

fn request(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<Request>> {
    tx.query_opt(
        "SELECT snapshot, asked_at, due_at FROM approval_request WHERE delivery = $1",
        &binds![id],
        |row| Ok::<_, Error>(Request { snapshot: row.text(0)?, asked_at: row.int(1)?, due_at: row.int(2)? }),
    )
}

fn approvals(tx: &mut Tx<'_>, id: DeliveryId, tail: &str) -> Result<Vec<Approval>> {
    let sql = format!(
        "SELECT account, decision, comment, snapshot, at, withdrawn_at, withdrawn_why FROM approval \
         WHERE delivery = $1 AND {tail}"
    );
    tx.query(&sql, &binds![id], read)
}

fn read(row: &Row<'_>) -> Result<Approval> {
    Ok(Approval {
        account: row.text(0)?,
        decision: Decision::parse(&row.text(1)?)?,
        comment: row.text(2)?,
        snapshot: row.text(3)?,
        at: row.int(4)?,
        withdrawn_at: row.int_opt(5)?,
        withdrawn_why: row.text(6)?,
    })
}

fn overdue_words(delivery: &Delivery, standing: &Approvals) -> String {
    format!(
        "The approvers' time for {} is over. Nothing was heard from {}. It can still be approved, and then has to be \
         confirmed by hand.",
        delivery.label,
        silent(standing).join(", ")
    )
}

/// Range of `[validation]`, as far as approval goes.
pub(crate) fn check(validation: &Validation) -> Result<(), Refusal> {
    if !matches!(validation.approval.as_str(), "manual" | "semi_automatic" | "automatic") {
        return Err(Refusal::new("validation.approval", "is none of manual, semi_automatic, automatic"));
    }
    let groups = [
        ("validation.approvers", &validation.approvers),
        ("validation.content_approvers", &validation.content_approvers),
        ("validation.target_approvers", &validation.target_approvers),
        ("validation.reviewers", &validation.reviewers),
    ];
    for (field, names) in groups {
        if names.len() > APPROVERS_MAX {
            return Err(Refusal::new(field, format!("names more than {APPROVERS_MAX} accounts")));
        }
        if names.iter().any(|name| name.trim().is_empty() || name.len() > 200) {
            return Err(Refusal::new(field, "has an element that is no name of an account"));
        }
    }
    if validation.approvals_needed == 0 {
        return Err(Refusal::new("validation.approvals_needed", "is 0; without approvers nobody is asked"));
    }
    if time_us(validation)? < 60 * parameters::SECOND_US {
        return Err(Refusal::new("validation.approval_deadline", "is less than a minute"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(both: &[&str], content: &[&str], needed: u32) -> Validation {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Validation {
            approvers: names(both),
            content_approvers: names(content),
            approvals_needed: needed,
            ..Validation::default()
        }
    }

    #[test]
    fn a_topic_has_those_of_both_and_its_own_each_once() {
        let found = topics(&validation(&["ann", "bob"], &["bob", "cem"], 5));
        assert_eq!((found[0].topic, found[0].approvers.len(), found[0].needed), (Topic::Content, 3, 3));
        assert_eq!((found[1].topic, found[1].approvers.len(), found[1].needed), (Topic::Target, 2, 2));
        let content_only = topics(&validation(&[], &["ann"], 1));
        assert_eq!(content_only.iter().map(|topic| topic.topic).collect::<Vec<_>>(), [Topic::Content]);
        assert!(topics(&validation(&[], &[], 1)).is_empty());
    }

    #[test]
    fn ranges_are_checked_by_name() {
        assert_eq!(
            check(&Validation { approval: "perhaps".into(), ..Validation::default() }).unwrap_err().field,
            "validation.approval"
        );
        assert_eq!(check(&validation(&[" "], &[], 1)).unwrap_err().field, "validation.approvers");
        assert_eq!(check(&validation(&["ann"], &[], 0)).unwrap_err().field, "validation.approvals_needed");
        let soon = Validation { approval_deadline: "5s".into(), ..Validation::default() };
        assert_eq!(check(&soon).unwrap_err().field, "validation.approval_deadline");
        assert!(check(&validation(&["ann"], &["bob"], 2)).is_ok());
    }

    #[test]
    fn who_may_start_is_the_owner_a_reviewer_or_an_administrator_with_the_right() {
        let mut delivery = crate::records::blank("x");
        delivery.owner = "ann".into();
        delivery.definition.validation.reviewers = vec!["bob".into()];
        let by = |name: &str, administer, start| By { name: name.into(), administer, start };
        assert!(may_start(&delivery, &by("ann", false, true)).is_ok());
        assert!(may_start(&delivery, &by("bob", false, true)).is_ok());
        assert!(may_start(&delivery, &by("cem", true, false)).is_ok());
        let refused = may_start(&delivery, &by("cem", false, true)).unwrap_err().to_string();
        assert!(refused.contains("ann") && refused.contains("bob"), "{refused}");
        assert!(may_start(&delivery, &by("ann", false, false)).is_err());
    }
}
