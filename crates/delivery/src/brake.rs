//! The brake: holds a delivery whose hard bounces, complaints or deferrals pass a share of the answered messages.
//!
//! It looks at the live figures each second, so settling knows nothing of it. When the whole delivery passes a share, it
//! pauses; when one provider does, that provider's messages are held and the others go on. From then on it counts anew:
//! an operator who resumes has seen the figures, and is stopped again only by worse ones.

use std::collections::HashMap;

use queue::{Hold, ProviderFigures, RunFigures, RunState};
use store::{Lane, Tx, binds};
use typology::Level;

use crate::definition::{Brake, Definition};
use crate::folder::Refusal;
use crate::notices::NoticeKind;
use crate::states::By;
use crate::types::{DeliveryId, Error, Result};
use crate::waves::Size;
use crate::{Deliveries, journal, words};

/// Answered messages below which a share says nothing.
pub const ANSWERED_MIN: i64 = 100;
/// The reasons of a hard bounce: the address is none, and never will be. A refusal of the content or of us is no bounce.
const HARD_REASONS: [&str; 3] = ["user_unknown", "invalid_domain", "account_disabled"];
/// Failures are looked at one by one again when they have grown by this share: a fiftieth.
const LOOK_AGAIN: i64 = 50;
/// The name of the whole delivery among the providers.
const WHOLE: &str = "";

/// The shares that may not be passed, in millionths; `None`: no brake of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    hard: Option<i64>,
    complaints: Option<i64>,
    deferrals: Option<i64>,
}

impl Limits {
    /// Reads the shares.
    pub fn of(brake: &Brake) -> Result<Limits, Refusal> {
        Ok(Limits {
            hard: share("waves.brake.hard_bounces", &brake.hard_bounces)?,
            complaints: share("waves.brake.complaints", &brake.complaints)?,
            deferrals: share("waves.brake.deferrals", &brake.deferrals)?,
        })
    }

    fn is_none(self) -> bool {
        self == Limits::default()
    }

    /// What passes its share, in words; `None`: nothing does, or too few messages were answered.
    fn passed(self, count: Count) -> Option<String> {
        if count.answered < ANSWERED_MIN {
            return None;
        }
        let kinds = [
            ("hard bounces", count.hard, self.hard),
            ("complaints", count.complaints, self.complaints),
            ("deferrals", count.deferred, self.deferrals),
        ];
        let found: Vec<String> = kinds
            .into_iter()
            .filter_map(|(name, n, limit)| Some((name, n, limit?)))
            .filter(|(_, n, limit)| {
                i128::from(*n) * 1_000_000 > i128::from(*limit) * i128::from(count.answered)
            })
            .map(|(name, n, limit)| {
                format!(
                    "{name} {} ({} of {} answered) passed {}",
                    percent(n * 1_000_000 / count.answered),
                    words::number(n),
                    words::number(count.answered),
                    percent(limit)
                )
            })
            .collect();
        (!found.is_empty()).then(|| found.join("; "))
    }
}

fn share(field: &str, text: &str) -> Result<Option<i64>, Refusal> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    match Size::parse(text) {
        Some(Size::Share(share)) if share > 0 => Ok(Some(share)),
        _ => Err(Refusal::new(
            field,
            format!("{text:?} is no share: write a percentage like 0.3%, up to 100%"),
        )),
    }
}

/// Millionths as a percentage with two decimals at most.
fn percent(millionths: i64) -> String {
    let text = format!("{}.{:02}", millionths / 10_000, millionths % 10_000 / 100);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Messages that receivers have answered, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    answered: i64,
    /// The address is none: said at once or in a later report.
    hard: i64,
    complaints: i64,
    /// Waiting for another try now.
    deferred: i64,
}

/// Failures that were hard bounces, by provider; `None`: not looked at, so that any failure may be one.
type Hard = Option<HashMap<String, i64>>;

/// What was found when the failures of a delivery were last looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looked {
    failed: i64,
    hard: HashMap<String, i64>,
}

impl Count {
    fn at(provider: &ProviderFigures, hard: &Hard) -> Count {
        let failed = match hard {
            Some(hard) => hard.get(&provider.provider).copied().unwrap_or(0).min(provider.failed),
            None => provider.failed,
        };
        Count {
            answered: provider.sent + provider.failed + provider.deferred,
            hard: failed + provider.bounced,
            complaints: provider.complaints,
            deferred: provider.deferred,
        }
    }

    fn of(figures: &RunFigures, hard: &Hard) -> Count {
        figures.providers.iter().map(|provider| Count::at(provider, hard)).fold(
            Count::default(),
            |sum, one| Count {
                answered: sum.answered + one.answered,
                hard: sum.hard + one.hard,
                complaints: sum.complaints + one.complaints,
                deferred: sum.deferred + one.deferred,
            },
        )
    }

    /// What came since.
    fn since(self, before: Count) -> Count {
        Count {
            answered: (self.answered - before.answered).max(0),
            hard: (self.hard - before.hard).max(0),
            complaints: (self.complaints - before.complaints).max(0),
            deferred: (self.deferred - before.deferred).max(0),
        }
    }
}

/// What the brake does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// The whole delivery pauses.
    Pause(String),
    /// These providers' messages wait, each for its reason.
    Hold(Vec<(String, String)>),
}

/// Looks at figures; `before` are those at the last action, by provider.
fn judge(
    limits: Limits,
    figures: &RunFigures,
    hard: &Hard,
    before: &HashMap<String, Count>,
) -> Option<Action> {
    let past = |name: &str| before.get(name).copied().unwrap_or_default();
    if let Some(why) = limits.passed(Count::of(figures, hard).since(past(WHOLE))) {
        return Some(Action::Pause(why));
    }
    // Small domains share lanes: nothing of theirs can be held apart.
    let own_lane = |provider: &&ProviderFigures| !provider.held && provider.provider != queue::OTHER_SITE;
    let held: Vec<(String, String)> = figures
        .providers
        .iter()
        .filter(own_lane)
        .filter_map(|provider| {
            let why = limits.passed(Count::at(provider, hard).since(past(&provider.provider)))?;
            Some((provider.provider.clone(), why))
        })
        .collect();
    (!held.is_empty()).then_some(Action::Hold(held))
}

impl Deliveries {
    /// Looks at every delivery with a brake that sends now. Called each second.
    pub(crate) async fn watch_brakes(&self, now_us: i64) -> Result<()> {
        let sending = self.store.read(braked_deliveries).await?;
        for (id, limits) in sending {
            let figures = self.rooms.queue.figures(id, now_us).await?;
            if !matches!(figures.state, RunState::InProgress | RunState::Retrying) {
                continue;
            }
            let before = self.store.read(move |tx| marks(tx, id)).await?;
            // Were all failures bounces, would a share be passed? Mostly not, and then nobody need look at them.
            if judge(limits, &figures, &None, &before).is_none() {
                continue;
            }
            let hard = Some(self.hard_bounces(&figures).await?);
            match judge(limits, &figures, &hard, &before) {
                Some(Action::Pause(why)) => self.brake(id, (&figures, &hard), &why, now_us).await?,
                Some(Action::Hold(held)) => self.hold(id, (&figures, &hard), held, now_us).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// The hard bounces among the failures, by provider; as of a little ago where there are few more since.
    async fn hard_bounces(&self, figures: &RunFigures) -> Result<HashMap<String, i64>> {
        let (id, failed) = (figures.delivery, figures.failed);
        let known = self.lock_looked().get(&id).cloned();
        if let Some(known) = known.filter(|known| failed - known.failed <= known.failed / LOOK_AGAIN) {
            return Ok(known.hard);
        }
        let found = self
            .store
            .read(move |tx| queue::runs::failed_because(tx, id, &HARD_REASONS).map_err(Error::from))
            .await?;
        let hard: HashMap<String, i64> = found.into_iter().collect();
        self.lock_looked().insert(id, Looked { failed, hard: hard.clone() });
        Ok(hard)
    }

    fn lock_looked(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, Looked>> {
        self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Forgets what was found of a delivery that is over.
    pub(crate) fn forget_looked(&self, id: DeliveryId) {
        self.lock_looked().remove(&id);
    }

    async fn brake(
        &self,
        id: DeliveryId,
        (figures, hard): (&RunFigures, &Hard),
        why: &str,
        now_us: i64,
    ) -> Result<()> {
        let mut marked = vec![(WHOLE.to_owned(), Count::of(figures, hard))];
        marked.extend(figures.providers.iter().map(|p| (p.provider.clone(), Count::at(p, hard))));
        let text = format!("The brake pauses the delivery: {why}. Resume it, or stop it.");
        self.store
            .write(Lane::Urgent, move |tx| {
                mark(tx, id, &marked, now_us)?;
                journal::note(tx, id, now_us, Level::Warning, &text)
            })
            .await?;
        match self.pause_because(id, why, &By::system()).await {
            // Somebody stopped or paused it in the same second.
            Ok(_) | Err(Error::State { .. } | Error::Queue(queue::Error::Refused { .. })) => {}
            Err(error) => return Err(error),
        }
        self.notify(id, NoticeKind::Braked, &format!("The brake paused it: {why}.")).await
    }

    async fn hold(
        &self,
        id: DeliveryId,
        (figures, hard): (&RunFigures, &Hard),
        held: Vec<(String, String)>,
        now_us: i64,
    ) -> Result<()> {
        let lanes: Vec<String> =
            self.rooms.queue.lanes(id).await?.into_iter().map(|work| work.lane).collect();
        // A small domain of a lane that many share is counted by its own name, and has no lane to hold.
        let held: Vec<_> = held.into_iter().filter(|(provider, _)| lanes.contains(provider)).collect();
        if held.is_empty() {
            return Ok(());
        }
        let holds =
            held.iter().map(|(lane, why)| Hold { lane: lane.clone(), reason: why.clone(), at: now_us });
        self.rooms.queue.hold(id, holds.collect()).await?;
        let told: Vec<String> = held.iter().map(|(provider, why)| format!("{provider}: {why}")).collect();
        let told = told.join("; ");
        let marked: Vec<(String, Count)> = figures
            .providers
            .iter()
            .filter(|p| held.iter().any(|(name, _)| *name == p.provider))
            .map(|p| (p.provider.clone(), Count::at(p, hard)))
            .collect();
        let text =
            format!("The brake holds messages to {told}. Resume to let them go, or stop the delivery.");
        self.store
            .write(Lane::Urgent, move |tx| {
                mark(tx, id, &marked, now_us)?;
                journal::note(tx, id, now_us, Level::Warning, &text)
            })
            .await?;
        self.notify(id, NoticeKind::Braked, &format!("The brake holds messages to {told}.")).await
    }

    /// The providers that the brake holds, with its reasons.
    pub async fn holds(&self, id: DeliveryId) -> Result<Vec<Hold>> {
        Ok(self.rooms.queue.holds(id).await?)
    }
}

/// Deliveries that may send now and have a brake. A proof has its parent's definition, and no brake.
fn braked_deliveries(tx: &mut Tx<'_>) -> Result<Vec<(DeliveryId, Limits)>> {
    let active = tx.query(
        "SELECT id, definition FROM delivery WHERE state IN ('pending', 'in_progress', 'retrying') AND parent IS NULL",
        &[],
        |row| Ok::<_, Error>((row.int(0)?, row.text(1)?)),
    )?;
    let limits = |(id, definition): (DeliveryId, String)| {
        let definition: Definition = serde_json::from_str(&definition).ok()?;
        let limits = Limits::of(&definition.waves?.brake).ok()?;
        (!limits.is_none()).then_some((id, limits))
    };
    Ok(active.into_iter().filter_map(limits).collect())
}

fn marks(tx: &mut Tx<'_>, id: DeliveryId) -> Result<HashMap<String, Count>> {
    let rows = tx.query(
        "SELECT provider, answered, hard, complaints, deferred FROM braked WHERE delivery = $1",
        &binds![id],
        |row| {
            let count = Count {
                answered: row.int(1)?,
                hard: row.int(2)?,
                complaints: row.int(3)?,
                deferred: row.int(4)?,
            };
            Ok::<_, Error>((row.text(0)?, count))
        },
    )?;
    Ok(rows.into_iter().collect())
}

fn mark(tx: &mut Tx<'_>, id: DeliveryId, counts: &[(String, Count)], now_us: i64) -> Result<()> {
    tx.execute_many(
        "INSERT INTO braked (delivery, provider, answered, hard, complaints, deferred, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (delivery, provider) DO UPDATE SET \
           answered = excluded.answered, hard = excluded.hard, complaints = excluded.complaints, \
           deferred = excluded.deferred, at = excluded.at",
        counts.iter().map(|(provider, count)| {
            binds![id, provider, count.answered, count.hard, count.complaints, count.deferred, now_us]
        }),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str, sent: i64, failed: i64, deferred: i64) -> ProviderFigures {
        ProviderFigures {
            provider: name.into(),
            pending: deferred,
            deferred,
            unknown: 0,
            sent,
            failed,
            cancelled: 0,
            per_second: 0.0,
            bounced: 0,
            complaints: 0,
            held: false,
        }
    }

    fn figures(providers: Vec<ProviderFigures>) -> RunFigures {
        RunFigures {
            delivery: 1,
            state: RunState::InProgress,
            expired: false,
            messages: 0,
            pending: 0,
            sent: 0,
            failed: 0,
            cancelled: 0,
            deferred: 0,
            unknown: 0,
            per_second: 0.0,
            bounced: 0,
            complaints: 0,
            seeds: queue::SeedFigures::default(),
            providers,
            blocked: None,
            started_at: 0,
            ended_at: None,
        }
    }

    fn limits(hard: &str, complaints: &str, deferrals: &str) -> Limits {
        let brake =
            Brake { hard_bounces: hard.into(), complaints: complaints.into(), deferrals: deferrals.into() };
        Limits::of(&brake).unwrap()
    }

    fn judged(limits: Limits, providers: Vec<ProviderFigures>) -> Option<Action> {
        judge(limits, &figures(providers), &None, &HashMap::new())
    }

    #[test]
    fn a_refusal_that_is_no_bounce_counts_as_answered_only() {
        let refused = figures(vec![provider("a", 1_000, 200, 0), provider("b", 500, 100, 0)]);
        let judged = |hard: &[(&str, i64)]| {
            let hard = hard.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
            judge(limits("5%", "", ""), &refused, &Some(hard), &HashMap::new())
        };
        assert_eq!(judged(&[]), None, "300 refused for what the message says");
        assert_eq!(judged(&[("a", 10), ("b", 5)]), None);
        let Some(Action::Hold(held)) = judged(&[("b", 31)]) else { panic!() };
        assert_eq!(held[0].1, "hard bounces 5.16% (31 of 600 answered) passed 5%");
        let Some(Action::Pause(why)) = judged(&[("a", 80), ("b", 31)]) else { panic!() };
        assert!(why.contains("111 of 1,800"), "{why}");
    }

    #[test]
    fn it_takes_a_hundred_answers_and_more_than_the_share() {
        let five = limits("5%", "", "");
        assert_eq!(judged(five, vec![provider("a", 49, 50, 0)]), None, "99 answered");
        assert_eq!(judged(five, vec![provider("a", 95, 5, 0)]), None, "five of a hundred are 5 %");
        let Some(Action::Pause(why)) = judged(five, vec![provider("a", 94, 6, 0)]) else { panic!() };
        assert_eq!(why, "hard bounces 6% (6 of 100 answered) passed 5%");
        assert_eq!(judged(limits("", "", ""), vec![provider("a", 0, 500, 0)]), None);
    }

    #[test]
    fn complaints_and_later_bounces_count_of_what_was_sent() {
        let mut one = provider("a", 1_000, 0, 0);
        one.complaints = 4;
        let why = judged(limits("", "0.3%", ""), vec![one.clone()]);
        assert_eq!(why, Some(Action::Pause("complaints 0.4% (4 of 1,000 answered) passed 0.3%".into())));
        one.bounced = 60;
        assert!(judged(limits("5%", "", ""), vec![one]).is_some());
        let slow = vec![provider("a", 60, 0, 61)];
        assert!(
            matches!(judged(limits("", "", "50%"), slow), Some(Action::Pause(why)) if why.contains("deferrals"))
        );
    }

    #[test]
    fn one_bad_provider_among_good_ones_is_held_alone() {
        let many = vec![provider("google", 10_000, 0, 0), provider("yahoo", 150, 50, 0)];
        let Some(Action::Hold(held)) = judged(limits("5%", "", ""), many.clone()) else { panic!() };
        assert_eq!((held.len(), held[0].0.as_str()), (1, "yahoo"));
        let mut again = many;
        again[1].held = true;
        assert_eq!(judged(limits("5%", "", ""), again), None);
        let others = vec![provider("google", 10_000, 0, 0), provider("other", 150, 50, 0)];
        assert_eq!(judged(limits("5%", "", ""), others), None, "many small ones share a lane");
    }

    #[test]
    fn after_an_action_it_counts_anew() {
        let now = figures(vec![provider("a", 100, 50, 0)]);
        let before = HashMap::from([
            (WHOLE.to_owned(), Count::of(&now, &None)),
            ("a".to_owned(), Count::of(&now, &None)),
        ]);
        assert_eq!(judge(limits("5%", "", ""), &now, &None, &before), None);
        let later = figures(vec![provider("a", 180, 60, 0)]);
        assert_eq!(judge(limits("5%", "", ""), &later, &None, &before), None, "90 answers since");
        let worse = figures(vec![provider("a", 190, 61, 0)]);
        let Some(Action::Pause(why)) = judge(limits("5%", "", ""), &worse, &None, &before) else { panic!() };
        assert!(why.contains("11 of 101"), "{why}");
    }

    #[test]
    fn a_share_is_a_percentage() {
        for wrong in ["5", "0%", "101%", "some"] {
            let brake = Brake { complaints: wrong.into(), ..Brake::default() };
            assert_eq!(Limits::of(&brake).unwrap_err().field, "waves.brake.complaints", "{wrong}");
        }
        assert_eq!(
            (percent(3_000), percent(123_456), percent(1_000_000)),
            ("0.3%".into(), "12.34%".into(), "100%".into())
        );
    }
}
