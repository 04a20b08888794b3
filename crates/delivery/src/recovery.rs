//! Analyses that the server's end interrupted: they begin again by themselves. What an analysis wrote until then is
//! deleted by the next one, so beginning again is always safe.

use store::{Lane, Tx, binds};
use typology::Level;

use crate::states::{self, By, Event};
use crate::types::{DeliveryId, Error, Result};
use crate::{Deliveries, journal};

/// Times that one delivery's analysis is begun again in a row: one that brings the server down must not do so for ever.
const RESTARTS_MAX: i64 = 3;

impl Deliveries {
    /// Takes up what a crash interrupted. Call once at start.
    pub async fn recover(&self) -> Result<()> {
        let now_us = self.now_us();
        self.ask_before_late(now_us, "the server was down").await?;
        self.look_at_clock(now_us).await?;
        let again = self.store.write(Lane::Urgent, move |tx| interrupted(tx, now_us)).await?;
        for id in again {
            match self.start_analysis(id, &By::system()).await {
                Ok(_) => self.say_again(id).await?,
                Err(Error::State { .. } | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn say_again(&self, id: DeliveryId) -> Result<()> {
        let now_us = self.now_us();
        let text = "The server stopped during the last analysis; this one began by itself.";
        self.store.write(Lane::Urgent, move |tx| journal::note(tx, id, now_us, Level::Info, text)).await
    }
}

/// Makes interrupted deliveries drafts, and names those to analyse again. The readers of a proof are not kept, so a
/// proof is asked for anew.
fn interrupted(tx: &mut Tx<'_>, now_us: i64) -> Result<Vec<DeliveryId>> {
    let found: Vec<(DeliveryId, bool, i64)> = tx.query(
        "SELECT id, parent IS NOT NULL, analysis_restarts FROM delivery WHERE state = 'analysing' ORDER BY id",
        &[],
        |row| Ok::<_, Error>((row.int(0)?, row.bool(1)?, row.int(2)?)),
    )?;
    let mut again = Vec::new();
    for (id, is_proof, restarts) in found {
        states::change(tx, id, Event::AnalysisInterrupted, &By::system(), "the server stopped", now_us)?;
        if is_proof || restarts >= RESTARTS_MAX {
            let text = "The server stopped during the analysis. Nothing was sent; analyse it again.";
            journal::note(tx, id, now_us, Level::Warning, text)?;
            continue;
        }
        tx.execute(
            "UPDATE delivery SET analysis_restarts = analysis_restarts + 1 WHERE id = $1",
            &binds![id],
        )?;
        again.push(id);
    }
    Ok(again)
}
