//! Who has an editor of a draft open now, so that two people know of each other before their edits collide.
//!
//! A page says so every few seconds; a row that was not renewed for half a minute says nothing. Nothing hangs on it: what
//! keeps edits apart is the revision.

use store::{Lane, binds};

use crate::Deliveries;
use crate::folder::Refusal;
use crate::parameters::SECOND_US;
use crate::types::{DeliveryId, Editor, Error, Presence, Result};

/// A page that was silent for so long is closed.
pub const PRESENT_FOR_US: i64 = 30 * SECOND_US;
/// Rows this old are deleted by whoever comes by.
const FORGOTTEN_AFTER_US: i64 = 3_600 * SECOND_US;
/// Longest name of a tab or of a part, in bytes.
const WORD_LEN_MAX: usize = 64;
/// Others that are named.
const OTHERS_MAX: i64 = 20;

impl Deliveries {
    /// Says that `editor` has this delivery open, and answers who else has.
    pub async fn present(&self, id: DeliveryId, editor: Editor) -> Result<Vec<Presence>> {
        for (field, word) in [("tab", &editor.tab), ("part", &editor.part)] {
            if word.len() > WORD_LEN_MAX || word.chars().any(char::is_control) {
                return Err(Refusal::new(field, format!("is longer than {WORD_LEN_MAX} bytes")).into());
            }
        }
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                crate::records::get(tx, id)?;
                tx.execute("DELETE FROM presence WHERE seen_at < $1", &binds![now_us - FORGOTTEN_AFTER_US])?;
                tx.execute(
                    "INSERT INTO presence (delivery, tab, editor, part, since, seen_at) VALUES ($1, $2, $3, $4, $5, $5) \
                     ON CONFLICT (delivery, tab) DO UPDATE SET editor = $3, part = $4, seen_at = $5, \
                     since = CASE WHEN presence.seen_at < $6 THEN $5 ELSE presence.since END",
                    &binds![
                        id,
                        editor.tab.as_str(),
                        editor.name.as_str(),
                        editor.part.as_str(),
                        now_us,
                        now_us - PRESENT_FOR_US
                    ],
                )?;
                others(tx, id, &editor.tab, now_us)
            })
            .await
    }

    /// Says that a tab was closed.
    pub async fn gone(&self, id: DeliveryId, tab: &str) -> Result<()> {
        let tab = tab.to_owned();
        self.store
            .write(Lane::Urgent, move |tx| {
                tx.execute("DELETE FROM presence WHERE delivery = $1 AND tab = $2", &binds![id, tab])?;
                Ok(())
            })
            .await
    }
}

fn others(tx: &mut store::Tx<'_>, id: DeliveryId, tab: &str, now_us: i64) -> Result<Vec<Presence>> {
    tx.query(
        "SELECT editor, part, since, seen_at FROM presence WHERE delivery = $1 AND tab <> $2 AND seen_at >= $3 \
         ORDER BY since, tab LIMIT $4",
        &binds![id, tab, now_us - PRESENT_FOR_US, OTHERS_MAX],
        |row| {
            Ok::<_, Error>(Presence {
                name: row.text(0)?,
                part: row.text(1)?,
                since: row.int(2)?,
                seen_at: row.int(3)?,
            })
        },
    )
}
