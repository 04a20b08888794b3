//! The life of a delivery as one table: what may happen in which state, and where it leads.
//!
//! [`TABLE`] is read by everything that changes a state ([`change`] and [`follow`] are the only writers of the column),
//! by the diagram of the manual ([`diagram`]) and by the tests. A final state is never left again, but for deletion:
//! whoever wants to send once more duplicates. Each change stands in `life_change` with who, when and why; unlike the
//! journal it is not emptied by a new analysis.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use store::{Dialect, Row, Tx, binds};

use crate::Deliveries;
use crate::types::{DeliveryId, Error, Result, State};

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

/// What can happen to a delivery. Names are those of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Content, target, parameters or files were changed.
    Edited,
    /// The same, and the schedule is provisional: it waits for its date.
    Postponed,
    /// An analysis began.
    AnalysisBegan,
    /// It froze a snapshot.
    AnalysisPassed,
    /// It found errors, or broke off.
    AnalysisFailed,
    /// Somebody stopped it.
    AnalysisStopped,
    /// The server stopped during it.
    AnalysisInterrupted,
    /// The snapshot was released.
    Confirmed,
    /// The first messages may go out, or further ones after retries alone were left.
    Begun,
    /// Every message was tried; those that were deferred remain.
    OnlyRetriesLeft,
    /// Somebody, or the brake, asked for a pause.
    PauseAsked,
    /// No connection carries a message any more.
    Paused,
    /// Somebody let it go on.
    Resumed,
    /// Somebody asked for a stop.
    StopAsked,
    /// The engine acknowledged the stop.
    Stopped,
    /// Every message is accounted for, or the validity period is over.
    Ended,
    /// Given up before it was confirmed.
    Cancelled,
    /// Out of sight for good.
    Deleted,
}

impl Event {
    /// All events, in the order of a delivery's life.
    pub const ALL: [Event; 18] = [
        Event::Edited,
        Event::Postponed,
        Event::AnalysisBegan,
        Event::AnalysisPassed,
        Event::AnalysisFailed,
        Event::AnalysisStopped,
        Event::AnalysisInterrupted,
        Event::Confirmed,
        Event::Begun,
        Event::OnlyRetriesLeft,
        Event::PauseAsked,
        Event::Paused,
        Event::Resumed,
        Event::StopAsked,
        Event::Stopped,
        Event::Ended,
        Event::Cancelled,
        Event::Deleted,
    ];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Edited => "edited",
            Event::Postponed => "postponed",
            Event::AnalysisBegan => "analysis_began",
            Event::AnalysisPassed => "analysis_passed",
            Event::AnalysisFailed => "analysis_failed",
            Event::AnalysisStopped => "analysis_stopped",
            Event::AnalysisInterrupted => "analysis_interrupted",
            Event::Confirmed => "confirmed",
            Event::Begun => "begun",
            Event::OnlyRetriesLeft => "only_retries_left",
            Event::PauseAsked => "pause_asked",
            Event::Paused => "paused",
            Event::Resumed => "resumed",
            Event::StopAsked => "stop_asked",
            Event::Stopped => "stopped",
            Event::Ended => "ended",
            Event::Cancelled => "cancelled",
            Event::Deleted => "deleted",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// What one would have done, for a refusal: `delivery 7 is finished: it cannot be edited`.
    fn participle(self) -> &'static str {
        match self {
            Event::Edited => "edited",
            Event::Postponed => "postponed",
            Event::Confirmed => "confirmed",
            Event::PauseAsked | Event::Paused => "paused",
            Event::Resumed => "resumed",
            Event::StopAsked | Event::Stopped => "stopped",
            Event::Cancelled => "cancelled",
            Event::Deleted => "deleted",
            Event::AnalysisBegan
            | Event::AnalysisPassed
            | Event::AnalysisFailed
            | Event::AnalysisStopped
            | Event::AnalysisInterrupted => "analysed",
            Event::Begun | Event::OnlyRetriesLeft | Event::Ended => "sent",
        }
    }
}

/// One line of the table: in `from`, `event` leads to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// What happens.
    pub event: Event,
    /// After.
    pub to: State,
}

const fn line(from: State, event: Event, to: State) -> Transition {
    Transition { from, event, to }
}

/// Everything that may happen. What is not here is refused.
pub const TABLE: &[Transition] = &[
    // Before Confirm: nothing was sent, so everything can be changed, analysed again, given up.
    line(State::Draft, Event::Edited, State::Draft),
    line(State::Draft, Event::Postponed, State::TargetingPending),
    line(State::Draft, Event::AnalysisBegan, State::Analysing),
    line(State::Draft, Event::Cancelled, State::Cancelled),
    line(State::Draft, Event::Deleted, State::Deleted),
    line(State::TargetingPending, Event::Edited, State::Draft),
    line(State::TargetingPending, Event::Postponed, State::TargetingPending),
    line(State::TargetingPending, Event::AnalysisBegan, State::Analysing),
    line(State::TargetingPending, Event::Cancelled, State::Cancelled),
    line(State::TargetingPending, Event::Deleted, State::Deleted),
    line(State::Analysing, Event::AnalysisPassed, State::Ready),
    line(State::Analysing, Event::AnalysisFailed, State::Failed),
    line(State::Analysing, Event::AnalysisStopped, State::Draft),
    line(State::Analysing, Event::AnalysisInterrupted, State::Draft),
    line(State::Failed, Event::Edited, State::Draft),
    line(State::Failed, Event::Postponed, State::TargetingPending),
    line(State::Failed, Event::AnalysisBegan, State::Analysing),
    line(State::Failed, Event::Cancelled, State::Cancelled),
    line(State::Failed, Event::Deleted, State::Deleted),
    line(State::Ready, Event::Edited, State::Draft),
    line(State::Ready, Event::Postponed, State::TargetingPending),
    line(State::Ready, Event::AnalysisBegan, State::Analysing),
    line(State::Ready, Event::Confirmed, State::Pending),
    line(State::Ready, Event::Cancelled, State::Cancelled),
    line(State::Ready, Event::Deleted, State::Deleted),
    // Confirmed: the run decides, and these follow it.
    line(State::Pending, Event::Begun, State::InProgress),
    line(State::Pending, Event::PauseAsked, State::Pausing),
    line(State::Pending, Event::StopAsked, State::Stopping),
    line(State::Pending, Event::Ended, State::Finished),
    line(State::InProgress, Event::OnlyRetriesLeft, State::Retrying),
    line(State::InProgress, Event::PauseAsked, State::Pausing),
    line(State::InProgress, Event::StopAsked, State::Stopping),
    line(State::InProgress, Event::Ended, State::Finished),
    line(State::Retrying, Event::Begun, State::InProgress),
    line(State::Retrying, Event::PauseAsked, State::Pausing),
    line(State::Retrying, Event::StopAsked, State::Stopping),
    line(State::Retrying, Event::Ended, State::Finished),
    line(State::Pausing, Event::Paused, State::Paused),
    line(State::Pausing, Event::Resumed, State::Pending),
    line(State::Pausing, Event::StopAsked, State::Stopping),
    line(State::Pausing, Event::Ended, State::Finished),
    line(State::Paused, Event::Resumed, State::Pending),
    line(State::Paused, Event::StopAsked, State::Stopping),
    line(State::Paused, Event::Ended, State::Finished),
    line(State::Stopping, Event::Stopped, State::Stopped),
    // Over: only out of sight.
    line(State::Stopped, Event::Deleted, State::Deleted),
    line(State::Finished, Event::Deleted, State::Deleted),
    line(State::Cancelled, Event::Deleted, State::Deleted),
];

/// Where an event leads; `None`: it may not happen in this state.
pub fn next(from: State, event: Event) -> Option<State> {
    TABLE.iter().find(|line| line.from == from && line.event == event).map(|line| line.to)
}

/// Events that only the run of a confirmed delivery brings.
fn is_of_the_run(event: Event) -> bool {
    matches!(
        event,
        Event::Begun
            | Event::OnlyRetriesLeft
            | Event::PauseAsked
            | Event::Paused
            | Event::Resumed
            | Event::StopAsked
            | Event::Stopped
            | Event::Ended
    )
}

/// The events by which a run came from one state to another, fewest first; `None`: it cannot have. What happened between
/// two looks is not known, so more than one may lie between. Empty: it stayed.
pub fn route(from: State, to: State) -> Option<Vec<Event>> {
    let mut came: HashMap<State, Option<Transition>> = HashMap::from([(from, None)]);
    let mut open = VecDeque::from([from]);
    while let Some(at) = open.pop_front() {
        if at == to {
            let mut events = Vec::new();
            let mut state = to;
            while let Some(Some(line)) = came.get(&state) {
                events.push(line.event);
                state = line.from;
            }
            events.reverse();
            return Some(events);
        }
        for line in TABLE.iter().filter(|line| line.from == at && is_of_the_run(line.event)) {
            came.entry(line.to).or_insert_with(|| {
                open.push_back(line.to);
                Some(*line)
            });
        }
    }
    None
}

/// A change of state that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When (µs).
    pub at: i64,
    /// Account; empty: the program itself.
    pub who: String,
    /// What happened.
    pub event: Event,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Why; may be empty.
    pub why: String,
}

impl Deliveries {
    /// Every change of state, oldest first.
    pub async fn changes(&self, id: DeliveryId) -> Result<Vec<Change>> {
        self.get(id).await?;
        self.store.read(move |tx| changes(tx, id)).await
    }
}

/// The state, with its row locked until the transaction ends: two who act at once take turns, and the second sees what
/// the first did.
pub(crate) fn lock(tx: &mut Tx<'_>, id: DeliveryId) -> Result<State> {
    // SQLite has one writer, whose transactions take turns anyway.
    let lock = if tx.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT state FROM delivery WHERE id = $1 AND state <> 'deleted'{lock}");
    let name = tx.query_opt(&sql, &binds![id], |row| row.text(0).map_err(Error::from))?;
    stored(&name.ok_or(Error::NotFound(id))?)
}

/// Makes `event` happen, or refuses it with a reason. The new state is returned.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    event: Event,
    by: &By,
    why: &str,
    now_us: i64,
) -> Result<State> {
    let from = lock(tx, id)?;
    let Some(to) = next(from, event) else { return Err(refused(id, from, event)) };
    write(tx, id, &Change { at: now_us, who: by.name.clone(), event, from, to, why: why.to_owned() })?;
    Ok(to)
}

/// Takes over the state of the run, whatever happened between; `asked` is what somebody did, where somebody did
/// something. A state that the run cannot have come to is left alone, and told in the log.
pub(crate) fn follow(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    to: State,
    asked: Option<(Event, &By, &str)>,
    now_us: i64,
) -> Result<()> {
    let from = lock(tx, id)?;
    let Some(events) = route(from, to) else {
        tracing::error!(
            delivery = id,
            from = from.as_str(),
            to = to.as_str(),
            "a run came to an impossible state"
        );
        return Ok(());
    };
    let system = By::system();
    let (event, by, why) = match (asked, events.last()) {
        (Some(asked), _) => asked,
        (None, Some(last)) => (*last, &system, ""),
        (None, None) => return Ok(()),
    };
    write(tx, id, &Change { at: now_us, who: by.name.clone(), event, from, to, why: why.to_owned() })
}

fn write(tx: &mut Tx<'_>, id: DeliveryId, change: &Change) -> Result<()> {
    tx.execute(
        "UPDATE delivery SET state = $2, updated_at = $3, \
         finished_at = CASE WHEN $4 = 1 THEN coalesce(finished_at, $3) ELSE finished_at END WHERE id = $1",
        &binds![id, change.to.as_str(), change.at, change.to.is_final()],
    )?;
    // A draft that is edited stays one: the revision counts that.
    if change.from == change.to && matches!(change.event, Event::Edited | Event::Postponed) {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO life_change (delivery, seq, at, who, event, from_state, to_state, why) \
         SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6, $7 FROM life_change WHERE delivery = $1",
        &binds![
            id,
            change.at,
            change.who.as_str(),
            change.event.as_str(),
            change.from.as_str(),
            change.to.as_str(),
            change.why.as_str()
        ],
    )?;
    Ok(())
}

/// Why not, and what to do instead.
pub(crate) fn refused(id: DeliveryId, state: State, event: Event) -> Error {
    let reason = match (state, event) {
        (State::Analysing, Event::AnalysisBegan) => {
            "an analysis runs already: wait for it, or stop it".to_owned()
        }
        (State::Analysing, Event::Edited | Event::Postponed) => {
            "stop its analysis before you edit it".to_owned()
        }
        (State::Analysing, Event::Deleted) => "stop its analysis before you delete it".to_owned(),
        (State::Analysing, Event::Cancelled) => "stop its analysis before you cancel it".to_owned(),
        (state, Event::Edited | Event::Postponed) if state.is_active() => {
            "its content is frozen since it was confirmed".to_owned()
        }
        (state, Event::Deleted) if state.is_active() => "stop it before you delete it".to_owned(),
        (state, Event::Cancelled) if state.is_active() => "it was confirmed: stop it instead".to_owned(),
        (state, Event::Confirmed) if state.is_active() => "it is confirmed already".to_owned(),
        (state, _) if state.is_final() => "it is over: duplicate it to send again".to_owned(),
        (_, event) => format!("it cannot be {} now", event.participle()),
    };
    Error::State { id, state, reason }
}

pub(crate) fn changes(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<Change>> {
    tx.query(
        "SELECT at, who, event, from_state, to_state, why FROM life_change WHERE delivery = $1 ORDER BY seq",
        &binds![id],
        read,
    )
}

fn read(row: &Row<'_>) -> Result<Change> {
    let event = row.text(2)?;
    Ok(Change {
        at: row.int(0)?,
        who: row.text(1)?,
        event: Event::parse(&event).ok_or_else(|| Error::Internal(format!("stored event {event:?}")))?,
        from: stored(&row.text(3)?)?,
        to: stored(&row.text(4)?)?,
        why: row.text(5)?,
    })
}

fn stored(name: &str) -> Result<State> {
    State::parse(name).ok_or_else(|| Error::Internal(format!("stored state {name:?}")))
}

/// The table as a diagram in Mermaid's notation, for the manual. Edits of a draft and deletions are left out: the first
/// change nothing, the second are possible in every state that is not on its way.
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> draft\n");
    for line in TABLE {
        if line.from == line.to || line.event == Event::Deleted {
            continue;
        }
        let (from, event, to) = (line.from.as_str(), line.event.as_str().replace('_', " "), line.to.as_str());
        text.push_str(&format!("    {from} --> {to}: {event}\n"));
    }
    for state in [State::Stopped, State::Finished, State::Cancelled] {
        text.push_str(&format!("    {} --> [*]\n", state.as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_end_in_a_state() {
        for (n, line) in TABLE.iter().enumerate() {
            let again =
                TABLE[n + 1..].iter().any(|other| (other.from, other.event) == (line.from, line.event));
            assert!(!again, "{line:?}");
        }
    }

    #[test]
    fn a_final_state_is_left_for_deletion_only() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            for event in Event::ALL {
                let to = next(state, event);
                assert!(
                    to.is_none() || (to, event) == (Some(State::Deleted), Event::Deleted),
                    "{state:?} {event:?}"
                );
            }
        }
        assert!(Event::ALL.into_iter().all(|event| next(State::Deleted, event).is_none()));
    }

    #[test]
    fn only_a_ready_delivery_is_confirmed_and_only_a_passed_analysis_makes_one() {
        for state in State::ALL {
            assert_eq!(next(state, Event::Confirmed).is_some(), state == State::Ready, "{state:?}");
        }
        assert!(
            TABLE
                .iter()
                .filter(|line| line.to == State::Ready)
                .all(|line| line.event == Event::AnalysisPassed)
        );
    }

    #[test]
    fn every_state_can_be_come_to_and_every_event_happens() {
        for state in State::ALL.into_iter().filter(|state| *state != State::Draft) {
            assert!(TABLE.iter().any(|line| line.to == state), "{state:?}");
        }
        for event in Event::ALL {
            assert!(TABLE.iter().any(|line| line.event == event), "{event:?}");
            assert_eq!(Event::parse(event.as_str()), Some(event));
        }
    }

    #[test]
    fn what_is_editable_active_or_final_agrees_with_the_table() {
        for state in State::ALL {
            assert_eq!(state.is_editable(), next(state, Event::Edited).is_some(), "{state:?}");
            assert_eq!(
                state.is_active(),
                !state.is_final() && route(State::Pending, state).is_some(),
                "{state:?}"
            );
            let stops = state.is_active() && state != State::Stopping;
            assert_eq!(next(state, Event::StopAsked).is_some(), stops, "{state:?}");
        }
    }

    #[test]
    fn a_run_is_followed_over_what_was_not_seen() {
        assert_eq!(route(State::Pending, State::Retrying), Some(vec![Event::Begun, Event::OnlyRetriesLeft]));
        assert_eq!(route(State::Pending, State::Stopped), Some(vec![Event::StopAsked, Event::Stopped]));
        assert_eq!(route(State::Paused, State::Paused), Some(vec![]));
        assert_eq!(route(State::Finished, State::InProgress), None);
        assert_eq!(route(State::Stopping, State::Finished), None);
        assert_eq!(route(State::Ready, State::InProgress), None);
    }

    #[test]
    fn the_manual_shows_this_table() {
        let manual = include_str!("../../../docs/key-steps.md");
        assert!(
            manual.contains(&diagram()),
            "docs/key-steps.md does not show the table of states as it is; put this between ```mermaid marks:\n{}",
            diagram()
        );
    }
}
