//! What the clock does to deliveries: a provisional one is analysed on its date, and one whose contact date the server was
//! down for, or slept through, asks before it is sent late.

use store::{Lane, Tx, binds};
use typology::Level;

use crate::definition::Definition;
use crate::notices::NoticeKind;
use crate::schedule::{self, Plan};
use crate::states::By;
use crate::types::{DeliveryId, Error, Result};
use crate::{Deliveries, journal};

/// Provisional deliveries whose analysis is begun in one second; the others follow.
const BEGUN_AT_ONCE_MAX: i64 = 20;

/// A run that should have begun while the server was down.
struct Late {
    id: DeliveryId,
    definition: Definition,
    starts_at: i64,
}

impl Deliveries {
    /// Begins the analyses of provisional deliveries whose date has come. Called each second.
    pub(crate) async fn analyse_on_date(&self, now_us: i64) -> Result<()> {
        let come: Vec<DeliveryId> = self
            .store
            .read(move |tx| {
                tx.query(
                    "SELECT p.delivery FROM provisional p JOIN delivery d ON d.id = p.delivery \
                     WHERE p.at <= $1 AND d.state = 'targeting_pending' ORDER BY p.at, p.delivery LIMIT $2",
                    &binds![now_us, BEGUN_AT_ONCE_MAX],
                    |row| row.int(0).map_err(Error::from),
                )
            })
            .await?;
        for id in come {
            match self.start_analysis(id, &By::system()).await {
                // Somebody edited, analysed or deleted it in the same second.
                Ok(_) | Err(Error::State { .. } | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Each second, before anything else: after a standstill (a suspended machine, a database that was away) what is late
    /// by it asks, before the engine may claim any of it.
    pub(crate) async fn look_at_clock(&self, now_us: i64) -> Result<()> {
        let before_us = self.looked_at.swap(now_us, std::sync::atomic::Ordering::AcqRel);
        let stood_still = before_us != 0 && now_us - before_us > queue::limits::AWAKE_US;
        if stood_still && let Err(error) = self.judge_standstill(now_us).await {
            // The next second judges it again.
            self.looked_at.store(before_us, std::sync::atomic::Ordering::Release);
            return Err(error);
        }
        self.rooms.queue.awake(now_us);
        if stood_still {
            self.rooms.queue.changed();
        }
        Ok(())
    }

    /// What is late asks, and what is due by now in somebody's night waits.
    async fn judge_standstill(&self, now_us: i64) -> Result<()> {
        self.ask_before_late(now_us, "the server stood still").await?;
        self.watch_quiet(now_us).await
    }

    /// After a start of the server, before the engine's, and after a standstill: runs that should have begun longer ago than
    /// their grace pause, and ask. What had begun goes on.
    pub(crate) async fn ask_before_late(&self, now_us: i64, because: &str) -> Result<()> {
        for late in self.store.read(move |tx| late_runs(tx, now_us)).await? {
            let (id, zone) = (late.id, Plan::of(&late.definition, now_us)?.zone);
            let why = format!("{because} at {}", schedule::shown(late.starts_at, &zone));
            self.pause_because(id, &why, &By::system()).await?;
            // Nothing is on a connection yet.
            self.rooms.queue.paused(id, now_us).await?;
            let text = format!("It waits, because {why}: resume it to send late, or stop it.");
            let told = text.clone();
            self.store
                .write(Lane::Urgent, move |tx| {
                    tx.execute("UPDATE timetable SET late = 1 WHERE delivery = $1", &binds![id])?;
                    journal::note(tx, id, now_us, Level::Warning, &text)
                })
                .await?;
            self.notify(id, NoticeKind::Late, &told).await?;
        }
        Ok(())
    }

    /// Before a delivery is resumed: one that waited because it was late starts now, its waves as far apart as ever. Hours
    /// of recipients' zones stay as they are, and what is overdue goes at once. The end of validity stays.
    pub(crate) async fn start_late(&self, id: DeliveryId, now_us: i64) -> Result<()> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let found = tx.query_opt(
                    "SELECT t.starts_at, d.definition FROM timetable t JOIN delivery d ON d.id = t.delivery \
                     WHERE t.delivery = $1 AND t.late = 1",
                    &binds![id],
                    |row| Ok::<_, Error>((row.int(0)?, definition(&row.text(1)?)?)),
                )?;
                let Some((starts_at, definition)) = found else { return Ok(()) };
                tx.execute("UPDATE timetable SET late = 0 WHERE delivery = $1", &binds![id])?;
                if Plan::of(&definition, now_us)?.wants_zones() || !queue::runs::move_start(tx, id, now_us)? {
                    return Ok(());
                }
                tx.execute(
                    "UPDATE wave_plan SET starts_at = starts_at + $2, ends_at = ends_at + $2 WHERE delivery = $1",
                    &binds![id, now_us - starts_at],
                )?;
                tx.execute("UPDATE timetable SET starts_at = $2 WHERE delivery = $1", &binds![id, now_us])?;
                Ok(())
            })
            .await
    }
}

/// Does it wait for somebody's word, because the server was down at its contact date?
pub(crate) fn is_late(tx: &mut Tx<'_>, id: DeliveryId) -> Result<bool> {
    let late = tx.query_opt("SELECT late FROM timetable WHERE delivery = $1", &binds![id], |row| {
        Ok::<_, Error>(row.bool(0)?)
    })?;
    Ok(late.unwrap_or(false))
}

fn late_runs(tx: &mut Tx<'_>, now_us: i64) -> Result<Vec<Late>> {
    let overdue = tx.query(
        "SELECT d.id, d.definition, t.starts_at FROM timetable t JOIN delivery d ON d.id = t.delivery \
         WHERE t.contact_us IS NOT NULL AND t.starts_at < $1 AND t.late = 0 \
           AND d.state IN ('pending', 'in_progress') ORDER BY d.id",
        &binds![now_us],
        |row| {
            let definition = definition(&row.text(1)?)?;
            Ok::<_, Error>(Late { id: row.int(0)?, definition, starts_at: row.int(2)? })
        },
    )?;
    let mut late = Vec::new();
    for run in overdue {
        let grace_us = Plan::of(&run.definition, now_us)?.grace_us;
        let found = queue::runs::find(tx, run.id)?;
        let waits = found.control == queue::Control::Running && found.spec.valid_until > now_us;
        if waits && now_us - run.starts_at > grace_us && !queue::runs::has_begun(tx, run.id)? {
            late.push(run);
        }
    }
    Ok(late)
}

fn definition(text: &str) -> Result<Definition> {
    serde_json::from_str(text).map_err(|error| Error::Internal(format!("stored definition: {error}")))
}
