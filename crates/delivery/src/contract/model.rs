//! Random sequences of commands against a model of a delivery's life. The model is written down once more, in other
//! words than the table of [`crate::states`], so that a slip in either shows.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{World, each, html};
use crate::states::{next, route};
use crate::{By, Decision, Edit, Error, State, StopReport};

/// Sequences that are tried on each database.
const CASES: u32 = 24;
/// Commands of the longest sequence.
const COMMANDS_MAX: usize = 14;
/// Longer than messages are tried.
const WEEK: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Edit,
    Break,
    Analyse,
    Approve,
    Reject,
    Confirm,
    ConfirmWhatIsNotAnalysed,
    ConfirmAsAStranger,
    Pause,
    EnginePaused,
    Resume,
    Stop,
    AWeekPasses,
    Tick,
    Cancel,
    Delete,
}

fn command() -> impl Strategy<Value = Command> {
    // What leads on is more likely, so that sequences come far.
    prop_oneof![
        2 => Just(Command::Edit),
        1 => Just(Command::Break),
        4 => Just(Command::Analyse),
        4 => Just(Command::Approve),
        1 => Just(Command::Reject),
        4 => Just(Command::Confirm),
        1 => Just(Command::ConfirmWhatIsNotAnalysed),
        1 => Just(Command::ConfirmAsAStranger),
        2 => Just(Command::Pause),
        1 => Just(Command::EnginePaused),
        2 => Just(Command::Resume),
        1 => Just(Command::Stop),
        1 => Just(Command::AWeekPasses),
        2 => Just(Command::Tick),
        1 => Just(Command::Cancel),
        1 => Just(Command::Delete),
    ]
}

/// What the model knows of a delivery.
#[derive(Debug, Clone, Copy)]
struct Model {
    state: State,
    /// The content would fail its analysis.
    broken: bool,
    /// What the approver said of the last analysis.
    said: Option<Decision>,
}

impl Model {
    fn is_before_confirm(self) -> bool {
        matches!(self.state, State::Draft | State::Ready | State::Failed)
    }

    fn is_running(self) -> bool {
        matches!(self.state, State::InProgress | State::Pausing | State::Paused)
    }

    /// Whether the command is obeyed, and what is then.
    fn after(self, command: Command) -> (bool, Model) {
        let to = |state| (true, Model { state, ..self });
        let no = (false, self);
        match command {
            Command::Edit | Command::Break if self.is_before_confirm() => {
                (true, Model { state: State::Draft, broken: command == Command::Break, said: None })
            }
            Command::Analyse if self.is_before_confirm() => {
                let state = if self.broken { State::Failed } else { State::Ready };
                (true, Model { state, said: None, ..self })
            }
            Command::Approve if self.state == State::Ready => {
                (true, Model { said: Some(Decision::Approved), ..self })
            }
            Command::Reject if self.state == State::Ready => {
                (true, Model { said: Some(Decision::Rejected), ..self })
            }
            Command::Confirm if self.state == State::Ready && self.said == Some(Decision::Approved) => {
                to(State::InProgress)
            }
            Command::Pause if self.state == State::InProgress => to(State::Pausing),
            Command::Pause if self.is_running() => to(self.state),
            Command::EnginePaused if self.state == State::Pausing => to(State::Paused),
            Command::EnginePaused => to(self.state),
            Command::Resume if self.is_running() => to(State::InProgress),
            Command::Stop if self.is_running() => to(State::Stopped),
            Command::AWeekPasses if self.is_running() => to(State::Finished),
            Command::AWeekPasses | Command::Tick => to(self.state),
            Command::Cancel if self.is_before_confirm() => to(State::Cancelled),
            Command::Delete if !self.is_running() => to(State::Deleted),
            _ => no,
        }
    }
}

fn by(name: &str) -> By {
    By { name: name.into(), administer: false, start: true }
}

impl World {
    /// Does it; an error of the caller is `false`.
    async fn obey(&self, id: i64, command: Command, nonce: usize) -> bool {
        let (deliveries, ann) = (&self.deliveries, by("ann"));
        let snapshot = deliveries.get(id).await.ok().and_then(|found| found.snapshot);
        let seen = snapshot.as_deref().unwrap_or("none");
        let outcome: Result<(), Error> = match command {
            Command::Edit | Command::Break => {
                let broken = if command == Command::Break { "{{ 1 // 0 }}" } else { "" };
                let html = format!("{}<!-- {nonce} -->{broken}", html());
                let edit = Edit { html: Some(Some(html)), by: "ann".into(), ..Edit::default() };
                deliveries.edit(id, edit).await.map(drop)
            }
            Command::Analyse => match deliveries.start_analysis(id, &ann).await {
                Ok(handle) => handle.wait().await.map(drop),
                Err(error) => Err(error),
            },
            Command::Approve => {
                deliveries.decide(id, Decision::Approved, seen, "", &by("cem")).await.map(drop)
            }
            Command::Reject => {
                deliveries.decide(id, Decision::Rejected, seen, "", &by("cem")).await.map(drop)
            }
            Command::Confirm => deliveries.confirm(id, Some(seen), &ann).await.map(drop),
            Command::ConfirmWhatIsNotAnalysed => deliveries.confirm(id, Some("other"), &ann).await.map(drop),
            Command::ConfirmAsAStranger => deliveries.confirm(id, Some(seen), &by("eve")).await.map(drop),
            Command::Pause => deliveries.pause(id, &ann).await.map(drop),
            Command::EnginePaused => {
                // The engine answers a pause; without one there is nothing to answer.
                let _ = self.queue.paused(id, self.now_us()).await;
                Ok(())
            }
            Command::Resume => deliveries.resume(id, &ann).await.map(drop),
            Command::Stop => self.stop(id).await,
            Command::AWeekPasses => {
                self.clock.advance(WEEK);
                deliveries.tick().await
            }
            Command::Tick => deliveries.tick().await,
            Command::Cancel => deliveries.cancel(id, "", &ann).await.map(drop),
            Command::Delete => deliveries.delete(id, &ann).await,
        };
        match outcome {
            Ok(()) => true,
            Err(Error::State { .. } | Error::Forbidden(_) | Error::NotFound(_) | Error::Queue(_)) => false,
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    fn now_us(&self) -> i64 {
        use net::Clock;
        self.clock.now_us()
    }

    /// As the engine does it.
    async fn stop(&self, id: i64) -> Result<(), Error> {
        self.queue.stop(id, self.now_us()).await?;
        self.queue.stopped(id, self.now_us()).await?;
        let report = StopReport { state: State::Stopped, sent: 0, in_flight: 0, cancelled: 4 };
        self.deliveries.stopped(id, &report, &by("ann")).await.map(drop)
    }

    /// State, history and figures agree with the model.
    async fn agrees(&self, id: i64, model: Model) -> Result<(), TestCaseError> {
        if model.state == State::Deleted {
            prop_assert!(matches!(self.deliveries.get(id).await, Err(Error::NotFound(_))));
            return Ok(());
        }
        let found = self.deliveries.get(id).await.unwrap();
        prop_assert_eq!(found.state, model.state);
        let changes = self.deliveries.changes(id).await.unwrap();
        let mut before = State::Draft;
        for change in &changes {
            prop_assert_eq!(change.from, before, "{:?}", &changes);
            let known =
                next(change.from, change.event) == Some(change.to) || route(change.from, change.to).is_some();
            prop_assert!(known, "{:?}", change);
            before = change.to;
        }
        // What the run did by itself is noted at the next tick.
        prop_assert!(before == model.state || route(before, model.state).is_some(), "{:?}", &changes);
        if found.confirmed_at.is_some() {
            let status = self.deliveries.status(id).await.unwrap();
            let messages = status.pending + status.sent + status.failed + status.cancelled;
            prop_assert_eq!(status.target, messages + status.excluded.values().sum::<i64>());
            prop_assert!(!model.state.is_final() || status.pending == 0);
        }
        Ok(())
    }

    async fn live(&self, commands: &[Command]) -> Result<(), TestCaseError> {
        let id = self.drafted(|d| d.validation.approvers = vec!["cem".into()]).await;
        let mut model = Model { state: State::Draft, broken: false, said: None };
        for (nonce, command) in commands.iter().enumerate() {
            let (obeyed, after) = model.after(*command);
            let did = self.obey(id, *command, nonce).await;
            prop_assert_eq!(did, obeyed, "{:?} in {:?}", command, model);
            self.agrees(id, after).await?;
            model = after;
            if model.state == State::Deleted {
                break;
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_lives_as_the_model_says() {
    each(|world| async move {
        world.recipients(4).await;
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let lives = vec(command(), 1..=COMMANDS_MAX);
        tokio::task::block_in_place(|| {
            let runtime = tokio::runtime::Handle::current();
            let tried =
                TestRunner::new(config).run(&lives, |commands| runtime.block_on(world.live(&commands)));
            if let Err(error) = tried {
                panic!("{error}");
            }
        });
    })
    .await;
}
