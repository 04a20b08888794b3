//! Which variant wins: by the figures of the samples when their time is over, or by somebody's word at any time.

use queue::RunState;
use store::{Lane, Tx, binds};
use tracking::Reactions;
use typology::Level;

use super::records::{self, Row};
use super::{AbState, AbStatus, VariantStatus, letter, variant_named};
use crate::folder::Refusal;
use crate::notices::NoticeKind;
use crate::states::{self, By};
use crate::types::{Delivery, DeliveryId, Error, Result, State};
use crate::{Deliveries, approval, journal, records as deliveries, words};

/// What a sample has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Figures {
    sent: i64,
    reactions: Reactions,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Opens,
    Clicks,
    /// Somebody does.
    Manual,
}

impl Measure {
    fn of(winner_by: &str) -> Measure {
        match winner_by {
            "opens" => Measure::Opens,
            "clicks" => Measure::Clicks,
            _ => Measure::Manual,
        }
    }

    fn count(self, figures: &Figures) -> i64 {
        match self {
            Measure::Clicks => figures.reactions.clicked,
            Measure::Opens | Measure::Manual => figures.reactions.opened,
        }
    }

    /// Of the sent; 0 where nothing was.
    fn rate(self, figures: &Figures) -> f64 {
        if figures.sent > 0 { self.count(figures) as f64 / figures.sent as f64 } else { 0.0 }
    }

    /// The first variant of those with the highest share; A, when nothing was opened or clicked.
    fn best(self, all: &[Figures]) -> usize {
        let beats = |a: &Figures, b: &Figures| {
            i128::from(self.count(a)) * i128::from(b.sent.max(1))
                > i128::from(self.count(b)) * i128::from(a.sent.max(1))
        };
        let better = |best: usize, (at, figures): (usize, &Figures)| {
            if figures.sent > 0 && beats(figures, &all[best]) { at } else { best }
        };
        all.iter().enumerate().fold(0, better)
    }

    /// `A 10.0% (10 of 100), B 20.0% (20 of 100)`.
    fn words(self, all: &[Figures]) -> String {
        let one = |(at, figures): (usize, &Figures)| {
            let count = words::number(self.count(figures));
            format!(
                "{} {:.1}% ({count} of {})",
                letter(at),
                self.rate(figures) * 100.0,
                words::number(figures.sent)
            )
        };
        all.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Deliveries {
    /// How the test of a delivery stands; `None`: it has none, or was not analysed yet.
    pub async fn ab(&self, id: DeliveryId) -> Result<Option<AbStatus>> {
        self.store
            .read(move |tx| {
                deliveries::get(tx, id)?;
                let Some(test) = records::find(tx, id)? else { return Ok(None) };
                status(tx, id, test).map(Some)
            })
            .await
    }

    /// Chooses the winner by hand, `A` to `D`: in every mode, at any time while the delivery is under way and nothing was
    /// chosen yet. For those who may start it.
    pub async fn choose_winner(&self, id: DeliveryId, variant: &str, by: &By) -> Result<AbStatus> {
        let (now_us, by, name) = (self.now_us(), by.clone(), variant.to_owned());
        let live = self.get(id).await?.state;
        self.store
            .write(Lane::Urgent, move |tx| {
                states::lock(tx, id)?;
                let delivery = deliveries::get(tx, id)?;
                let Some(test) = records::find(tx, id)? else { return Err(Error::NoSuch("A/B test")) };
                approval::may_start(&delivery, &by)?;
                let known = variant_named(&name).filter(|variant| *variant < test.variants.len());
                let variant = known.ok_or_else(|| unknown(&name, test.variants.len()))?;
                open(&delivery, live, &test)?;
                let all = figures(tx, id, &test)?;
                let why = format!("chosen by {}: {}", by.name, Measure::of(&test.winner_by).words(&all));
                choose(tx, id, &Choice { variant, all: &all, why: &why, by: &by }, now_us)
            })
            .await?;
        self.apply_apart(id);
        self.ab(id).await?.ok_or(Error::NoSuch("A/B test"))
    }

    /// Chooses where the time is over, and goes on with what was chosen. Called each second.
    pub(crate) async fn watch_tests(&self, now_us: i64) -> Result<()> {
        let open: Vec<(DeliveryId, AbState, State)> = self
            .store
            .read(|tx| {
                tx.query(
                    "SELECT t.delivery, t.state, d.state FROM ab_test t JOIN delivery d ON d.id = t.delivery \
                     WHERE t.cleaned = 0 AND t.state <> 'planned' ORDER BY t.delivery",
                    &[],
                    |row| {
                        let state = State::parse(&row.text(2)?).unwrap_or(State::Deleted);
                        Ok::<_, Error>((row.int(0)?, AbState::parse(&row.text(1)?)?, state))
                    },
                )
            })
            .await?;
        for (id, state, delivery) in open {
            match state {
                // What is over has nothing to choose: what is kept of its variants goes.
                _ if delivery.is_final() => self.apply_apart(id),
                AbState::Applying | AbState::Released => self.apply_apart(id),
                AbState::Sampling => self.choose_if_due(id, now_us).await?,
                AbState::Planned | AbState::Choosing => {}
            }
        }
        Ok(())
    }

    /// A paused delivery waits; so does one whose sample has not begun to arrive.
    async fn choose_if_due(&self, id: DeliveryId, now_us: i64) -> Result<()> {
        let run = self.rooms.queue.run(id).await?;
        let after_us =
            self.store.read(move |tx| Ok::<_, Error>(records::find(tx, id)?.map(|t| t.after_us))).await?;
        if after_us.is_none_or(|after_us| now_us < run.spec.start_at.saturating_add(after_us)) {
            return Ok(());
        }
        let figures = self.rooms.queue.figures(id, now_us).await?;
        let sends = matches!(figures.state, RunState::InProgress | RunState::Retrying);
        if !sends || (figures.sent == 0 && figures.failed == 0 && figures.cancelled == 0) {
            return Ok(());
        }
        let asked = self
            .store
            .write(Lane::Urgent, move |tx| {
                let Some(test) = records::find(tx, id)? else { return Ok(None) };
                let all = self::figures(tx, id, &test)?;
                let measure = Measure::of(&test.winner_by);
                if measure == Measure::Manual {
                    return ask(tx, id, &measure.words(&all), now_us);
                }
                let variant = measure.best(&all);
                let rates = measure.words(&all);
                let why = match measure.count(&all[variant]) {
                    0 => format!("nobody did anything yet, so the delivery's own content goes on: {rates}"),
                    _ => format!("by {}: {rates}", test.winner_by),
                };
                choose(tx, id, &Choice { variant, all: &all, why: &why, by: &By::system() }, now_us)?;
                Ok::<_, Error>(None)
            })
            .await?;
        match asked {
            Some(words) => self.notify(id, NoticeKind::ChooseWinner, &words).await,
            None => {
                self.apply_apart(id);
                Ok(())
            }
        }
    }
}

/// A choice on its way into the rows.
struct Choice<'a> {
    variant: usize,
    all: &'a [Figures],
    why: &'a str,
    by: &'a By,
}

/// Writes a choice down. Refused when there was one before: of two who choose at once, the second is told.
fn choose(tx: &mut Tx<'_>, id: DeliveryId, choice: &Choice<'_>, now_us: i64) -> Result<()> {
    let variant = choice.variant as i64;
    let changed = tx.execute(
        "UPDATE ab_test SET state = 'applying', winner = $2, chosen_by = $3, chosen_at = $4, why = $5 \
         WHERE delivery = $1 AND state IN ('sampling', 'choosing')",
        &binds![id, variant, choice.by.name.as_str(), now_us, choice.why],
    )?;
    if changed == 0 {
        let state = deliveries::get(tx, id)?.state;
        return Err(Error::State { id, state, reason: "its winner is chosen already".to_owned() });
    }
    for (variant, figures) in (0_i64..).zip(choice.all) {
        let Reactions { opened, clicked } = figures.reactions;
        tx.execute(
            "UPDATE ab_variant SET sent = $3, opened = $4, clicked = $5 WHERE delivery = $1 AND variant = $2",
            &binds![id, variant, figures.sent, opened, clicked],
        )?;
    }
    let text = format!("A/B test: variant {} wins, {}", letter(choice.variant), choice.why);
    journal::note(tx, id, now_us, Level::Info, &text)
}

/// The time of a test by hand is over: somebody is to choose. Answers what to tell the owner, once.
fn ask(tx: &mut Tx<'_>, id: DeliveryId, rates: &str, now_us: i64) -> Result<Option<String>> {
    let changed = tx.execute(
        "UPDATE ab_test SET state = 'choosing' WHERE delivery = $1 AND state = 'sampling'",
        &binds![id],
    )?;
    if changed == 0 {
        return Ok(None);
    }
    let text = format!(
        "The samples of the A/B test have had their time; the rest waits for you to choose. Opened: {rates}"
    );
    journal::note(tx, id, now_us, Level::Info, &text)?;
    Ok(Some(text))
}

fn unknown(name: &str, variants: usize) -> Error {
    let last = letter(variants.saturating_sub(1));
    Refusal::new("variant", format!("{name:?} is no variant of this test: they are A to {last}")).into()
}

fn open(delivery: &Delivery, live: State, test: &Row) -> Result<()> {
    let reason = match test.state {
        AbState::Planned => "it is not confirmed yet: its samples must go out first",
        AbState::Applying | AbState::Released => "its winner is chosen already",
        _ if !live.is_active() || live == State::Stopping => "it is over: what waited is not sent any more",
        AbState::Sampling | AbState::Choosing => return Ok(()),
    };
    Err(Error::State { id: delivery.id, state: live, reason: reason.to_owned() })
}

/// The samples' figures, in the order of the variants.
fn figures(tx: &mut Tx<'_>, id: DeliveryId, test: &Row) -> Result<Vec<Figures>> {
    let waves = queue::variants::by_wave(tx, id)?;
    let spans = queue::variants::spans(tx, id)?;
    (0_i64..)
        .zip(&test.variants)
        .map(|(wave, _)| {
            let own: Vec<(i64, i64)> = spans
                .iter()
                .filter(|span| span.wave == wave)
                .map(|span| (span.first_id, span.last_id))
                .collect();
            let reactions = tracking::reactions(tx, &own)
                .map_err(|error| Error::Internal(format!("events cannot be counted: {error}")))?;
            let sent = waves.iter().find(|found| found.wave == wave).map_or(0, |found| found.sent);
            Ok(Figures { sent, reactions })
        })
        .collect()
}

fn status(tx: &mut Tx<'_>, id: DeliveryId, test: Row) -> Result<AbStatus> {
    let run = match queue::runs::find(tx, id) {
        Ok(run) => Some(run),
        Err(queue::Error::NotConfirmed(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let kept: Option<Vec<Figures>> = test
        .variants
        .iter()
        .map(|variant| {
            let [sent, opened, clicked] = variant.chosen_by?;
            Some(Figures { sent, reactions: Reactions { opened, clicked } })
        })
        .collect();
    let all = match (kept, &run) {
        (Some(kept), _) => kept,
        (None, Some(_)) => figures(tx, id, &test)?,
        (None, None) => vec![Figures::default(); test.variants.len()],
    };
    let measure = Measure::of(&test.winner_by);
    let variants = test.variants.iter().zip(&all).enumerate().map(|(at, (variant, figures))| VariantStatus {
        variant: letter(at),
        snapshot: variant.snapshot.clone(),
        subject: variant.subject.clone(),
        messages: variant.messages,
        sent: figures.sent,
        opened: figures.reactions.opened,
        clicked: figures.reactions.clicked,
        rate: measure.rate(figures),
    });
    let sample: i64 = test.variants.iter().map(|variant| variant.messages).sum();
    Ok(AbStatus {
        state: test.state,
        due_at: run.map(|run| run.spec.start_at.saturating_add(test.after_us)),
        variants: variants.collect(),
        rest: (deliveries::get(tx, id)?.to_deliver - sample).max(0),
        winner: test.winner.map(letter),
        winner_by: test.winner_by,
        chosen_by: test.chosen_by,
        chosen_at: test.chosen_at,
        why: test.why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(figures: &[(i64, i64, i64)]) -> Vec<Figures> {
        let one = |(sent, opened, clicked): &(i64, i64, i64)| Figures {
            sent: *sent,
            reactions: Reactions { opened: *opened, clicked: *clicked },
        };
        figures.iter().map(one).collect()
    }

    #[test]
    fn the_highest_share_wins_and_a_tie_is_as() {
        let best = |measure: Measure, figures: &[(i64, i64, i64)]| measure.best(&of(figures));
        assert_eq!(best(Measure::Opens, &[(100, 10, 9), (50, 6, 1)]), 1, "a share, not a number");
        assert_eq!(best(Measure::Clicks, &[(100, 10, 9), (50, 6, 1)]), 0);
        assert_eq!(best(Measure::Opens, &[(100, 10, 0), (50, 5, 0), (10, 1, 0)]), 0);
        assert_eq!(best(Measure::Opens, &[(100, 1, 0), (50, 5, 0), (10, 1, 0)]), 1, "the first of the best");
        assert_eq!(best(Measure::Opens, &[(0, 0, 0), (0, 0, 0)]), 0);
        assert_eq!(best(Measure::Opens, &[(0, 0, 0), (9, 1, 0)]), 1);
    }

    #[test]
    fn figures_are_said_in_words() {
        let words = Measure::Opens.words(&of(&[(100, 10, 0), (3_000, 1, 0), (0, 0, 0)]));
        assert_eq!(words, "A 10.0% (10 of 100), B 0.0% (1 of 3,000), C 0.0% (0 of 0)");
    }
}
