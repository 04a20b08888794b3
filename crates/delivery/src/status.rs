//! Live figures, and the controls that the engine obeys.

use std::collections::BTreeMap;

use queue::{RunFigures, RunState};
use store::Lane;
use typology::Level;

use crate::confirm::providers;
use crate::states::{self, By, Event};
use crate::types::{Delivery, DeliveryId, Error, ProviderStatus, Result, State, Status, StopReport};
use crate::{Deliveries, dates, journal, records};

impl Deliveries {
    /// Figures of a delivery, at most a quarter of a second old. Before Confirm they are those of the analysis.
    pub async fn status(&self, id: DeliveryId) -> Result<Status> {
        let delivery = self.store.read(move |tx| records::get(tx, id)).await?;
        let (excluded, late) = self
            .store
            .read(move |tx| Ok::<_, Error>((queue::plan::excluded_counts(tx, id)?, dates::is_late(tx, id)?)))
            .await?;
        let excluded: BTreeMap<String, i64> = excluded.into_iter().collect();
        match self.rooms.queue.figures(id, self.now_us()).await {
            Ok(figures) => Ok(Status { late, ..of_run(&delivery, &figures, excluded, self.now_us()) }),
            Err(queue::Error::NotConfirmed(_)) => self.before_confirm(delivery, excluded).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn before_confirm(&self, delivery: Delivery, excluded: BTreeMap<String, i64>) -> Result<Status> {
        let id = delivery.id;
        let plans = self.store.read(move |tx| providers(tx, id)).await?;
        let providers = plans.into_iter().map(|plan| ProviderStatus {
            provider: plan.provider,
            pending: plan.messages,
            deferred: 0,
            sent: 0,
            failed: 0,
            per_second: 0.0,
            predicted_end: plan.predicted_end,
            bounced: 0,
            complaints: 0,
            held: false,
        });
        Ok(Status {
            id,
            state: delivery.state,
            target: delivery.to_deliver + excluded.values().sum::<i64>(),
            excluded,
            pending: delivery.to_deliver,
            sent: 0,
            failed: 0,
            cancelled: 0,
            deferred: 0,
            unknown: 0,
            seeds: queue::SeedFigures::default(),
            bounced: 0,
            complaints: 0,
            providers: providers.collect(),
            per_second: 0.0,
            predicted_end: delivery.predicted_end,
            late: false,
        })
    }

    /// Asks for a pause; the engine empties its connections and acknowledges.
    pub async fn pause(&self, id: DeliveryId, by: &By) -> Result<Delivery> {
        self.pause_because(id, "", by).await
    }

    /// Sends again, and lets go what the brake holds.
    pub async fn resume(&self, id: DeliveryId, by: &By) -> Result<Delivery> {
        let live = self.get(id).await?.state;
        // A run that is sending is resumed already: asking twice is no error.
        if states::next(live, Event::Resumed).is_none() && !is_sending(live) {
            return Err(states::refused(id, live, Event::Resumed));
        }
        let now_us = self.now_us();
        self.start_late(id, now_us).await?;
        self.rooms.queue.lift(id, None).await?;
        self.rooms.queue.resume(id, now_us).await?;
        self.commanded(id, (Event::Resumed, by, ""), &format!("Resumed{}", by.suffix())).await
    }

    /// Keeps what a stop did in the journal. The stop itself is the engine's, which cuts connections; call this
    /// with its report.
    pub async fn stopped(&self, id: DeliveryId, report: &StopReport, by: &By) -> Result<Delivery> {
        let text = format!(
            "Stopped{}: {} sent, {} in flight, {} cancelled",
            by.suffix(),
            report.sent,
            report.in_flight,
            report.cancelled
        );
        self.commanded(id, (Event::StopAsked, by, ""), &text).await
    }

    /// The same as [`Deliveries::pause`], with a reason: what the brake does.
    pub async fn pause_because(&self, id: DeliveryId, why: &str, by: &By) -> Result<Delivery> {
        let live = self.get(id).await?.state;
        if states::next(live, Event::PauseAsked).is_none() && !matches!(live, State::Pausing | State::Paused)
        {
            return Err(states::refused(id, live, Event::PauseAsked));
        }
        self.rooms.queue.pause(id, self.now_us()).await?;
        let because = if why.is_empty() { String::new() } else { format!(": {why}") };
        let text = format!("Pause asked for{}{because}", by.suffix());
        self.commanded(id, (Event::PauseAsked, by, why), &text).await
    }

    /// Takes over the state of the run after somebody's command, and keeps who gave it.
    async fn commanded(&self, id: DeliveryId, asked: (Event, &By, &str), text: &str) -> Result<Delivery> {
        let now_us = self.now_us();
        let figures = self.rooms.queue.fresh_figures(id, now_us).await?;
        let (event, by, why) = (asked.0, asked.1.clone(), asked.2.to_owned());
        let text = text.to_owned();
        self.store
            .write(Lane::Urgent, move |tx| {
                let to = state_of(figures.state);
                states::follow(tx, id, to, Some((event, &by, &why)), now_us)?;
                journal::note(tx, id, now_us, Level::Info, &text)
            })
            .await?;
        self.get(id).await
    }

    /// Takes over how runs stand: expiry, end. For the wiring to call each second.
    pub async fn tick(&self) -> Result<()> {
        let now_us = self.now_us();
        self.look_at_clock(now_us).await?;
        self.rooms.queue.expire(now_us).await?;
        self.purge_files(now_us).await?;
        self.approvals_due(now_us).await?;
        self.analyse_on_date(now_us).await?;
        self.watch_quiet(now_us).await?;
        self.rearbitrate(now_us).await?;
        self.watch_brakes(now_us).await?;
        self.watch_receivers(now_us).await?;
        self.watch_tests(now_us).await?;
        let active: Vec<(DeliveryId, String)> = self
            .store
            .read(|tx| {
                tx.query(
                    "SELECT id, state FROM delivery WHERE state IN ('pending', 'in_progress', 'retrying', 'pausing', \
                     'paused', 'stopping')",
                    &[],
                    |row| Ok::<_, Error>((row.int(0)?, row.text(1)?)),
                )
            })
            .await?;
        for (id, stored) in active {
            self.rooms.queue.finish_if_over(id, now_us).await?;
            let figures = self.rooms.queue.figures(id, now_us).await?;
            let state = state_of(figures.state);
            if state.as_str() != stored {
                self.keep_state(id, state, &figures).await?;
            }
        }
        Ok(())
    }

    /// The stored state is for lists and searches; it follows the run's.
    async fn keep_state(&self, id: DeliveryId, state: State, figures: &RunFigures) -> Result<()> {
        let at = figures.ended_at.filter(|_| state.is_final()).unwrap_or_else(|| self.now_us());
        if state.is_final() {
            self.forget_looked(id);
        }
        let text = state.is_final().then(|| {
            let why = if figures.expired { " (the validity period is over)" } else { "" };
            format!(
                "{}{why}: {} sent, {} failed, {} cancelled",
                if state == State::Stopped { "Stopped" } else { "Finished" },
                figures.sent,
                figures.failed,
                figures.cancelled
            )
        });
        self.store
            .write(Lane::Urgent, move |tx| {
                states::follow(tx, id, state, None, at)?;
                if state.is_final() {
                    crate::quiet::forget(tx, id)?;
                }
                match text {
                    Some(text) => journal::note(tx, id, at, Level::Info, &text),
                    None => Ok(()),
                }
            })
            .await?;
        self.tell_progress(id, state, figures).await
    }

    /// The state as it is this moment: the run's, once there is one.
    pub(crate) async fn live_state(&self, id: DeliveryId, stored: State) -> Result<State> {
        if !stored.is_active() {
            return Ok(stored);
        }
        match self.rooms.queue.figures(id, self.now_us()).await {
            Ok(figures) => Ok(state_of(figures.state)),
            Err(queue::Error::NotConfirmed(_)) => Ok(stored),
            Err(error) => Err(error.into()),
        }
    }
}

fn of_run(delivery: &Delivery, figures: &RunFigures, excluded: BTreeMap<String, i64>, now_us: i64) -> Status {
    let providers: Vec<_> = figures
        .providers
        .iter()
        .map(|provider| ProviderStatus {
            provider: provider.provider.clone(),
            pending: provider.pending,
            deferred: provider.deferred,
            sent: provider.sent,
            failed: provider.failed,
            per_second: provider.per_second,
            predicted_end: end_at_speed(provider.pending - provider.deferred, provider.per_second, now_us),
            bounced: provider.bounced,
            complaints: provider.complaints,
            held: provider.held,
        })
        .collect();
    // Where some provider takes nothing at the moment, the plan of the analysis is the better guess.
    let all_move = providers.iter().all(|p| p.pending == p.deferred || p.predicted_end.is_some());
    let seen_end = providers.iter().filter_map(|p| p.predicted_end).max().filter(|_| all_move);
    Status {
        id: delivery.id,
        state: state_of(figures.state),
        target: figures.messages + excluded.values().sum::<i64>(),
        excluded,
        pending: figures.pending,
        sent: figures.sent,
        failed: figures.failed,
        cancelled: figures.cancelled,
        deferred: figures.deferred,
        unknown: figures.unknown,
        seeds: figures.seeds,
        bounced: figures.bounced,
        complaints: figures.complaints,
        providers,
        per_second: figures.per_second,
        predicted_end: figures.ended_at.or(seen_end).or(delivery.predicted_end),
        late: false,
    }
}

/// A run that is neither held nor over.
fn is_sending(state: State) -> bool {
    matches!(state, State::Pending | State::InProgress | State::Retrying)
}

/// When what was not tried yet will have been, at the speed of the last seconds.
fn end_at_speed(left: i64, per_second: f64, now_us: i64) -> Option<i64> {
    (left > 0 && per_second > 0.0).then(|| now_us + (left as f64 / per_second * 1e6) as i64)
}

fn state_of(state: RunState) -> State {
    match state {
        RunState::Pending => State::Pending,
        RunState::InProgress => State::InProgress,
        RunState::Retrying => State::Retrying,
        RunState::Pausing => State::Pausing,
        RunState::Paused => State::Paused,
        RunState::Stopping => State::Stopping,
        RunState::Stopped => State::Stopped,
        RunState::Finished => State::Finished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_said_only_while_something_moves() {
        assert_eq!(end_at_speed(100, 10.0, 5), Some(10_000_005));
        assert_eq!(end_at_speed(100, 0.0, 5), None);
        assert_eq!(end_at_speed(0, 10.0, 5), None);
    }
}
