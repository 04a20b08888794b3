//! A test's rows.

use store::{Tx, binds};

use super::AbState;
use crate::definition::{AbTest, Definition};
use crate::types::{DeliveryId, Error, Result};

/// One variant as the analysis froze it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedVariant {
    pub snapshot: String,
    pub subject: String,
    /// Of its sample.
    pub messages: i64,
}

/// A test as the analysis froze it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    winner_by: String,
    after_us: i64,
    variants: Vec<PlannedVariant>,
}

impl Planned {
    /// `snapshots` and `messages` are those of the variants, in order.
    pub fn of(
        definition: &Definition,
        test: &AbTest,
        snapshots: &[String],
        messages: &[i64],
    ) -> Result<Planned> {
        let blank = crate::types::Sources::default();
        let variants = snapshots.iter().enumerate().map(|(variant, snapshot)| PlannedVariant {
            snapshot: snapshot.clone(),
            subject: super::variant(definition, &blank, variant).0.subject,
            messages: messages.get(variant).copied().unwrap_or_default(),
        });
        Ok(Planned {
            winner_by: test.winner.clone(),
            after_us: super::after_us(test)?,
            variants: variants.collect(),
        })
    }
}

/// Keeps a test, in the transaction that freezes its delivery.
pub(crate) fn keep(tx: &mut Tx<'_>, id: DeliveryId, test: &Planned) -> Result<()> {
    forget(tx, id)?;
    tx.execute(
        "INSERT INTO ab_test (delivery, winner_by, after_us, state) VALUES ($1, $2, $3, $4)",
        &binds![id, test.winner_by.as_str(), test.after_us, AbState::Planned.as_str()],
    )?;
    for (variant, planned) in (0_i64..).zip(&test.variants) {
        tx.execute(
            "INSERT INTO ab_variant (delivery, variant, snapshot, subject, messages) VALUES ($1, $2, $3, $4, $5)",
            &binds![id, variant, planned.snapshot.as_str(), planned.subject.as_str(), planned.messages],
        )?;
    }
    Ok(())
}

/// Forgets it, when a new analysis begins.
pub(crate) fn forget(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute("DELETE FROM ab_variant WHERE delivery = $1", &binds![id])?;
    tx.execute("DELETE FROM ab_test WHERE delivery = $1", &binds![id])?;
    Ok(())
}

/// From Confirm on the samples go out.
pub(crate) fn confirmed(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute(
        "UPDATE ab_test SET state = $2 WHERE delivery = $1 AND state = $3",
        &binds![id, AbState::Sampling.as_str(), AbState::Planned.as_str()],
    )?;
    Ok(())
}

/// A test's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub winner_by: String,
    pub after_us: i64,
    pub state: AbState,
    pub winner: Option<usize>,
    pub chosen_by: String,
    pub chosen_at: Option<i64>,
    pub why: String,
    pub variants: Vec<VariantRow>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VariantRow {
    pub snapshot: String,
    pub subject: String,
    pub messages: i64,
    /// Sent, opened and clicked at the choice.
    pub chosen_by: Option<[i64; 3]>,
}

/// A delivery's test; `None`: it has none, or was not analysed.
pub(crate) fn find(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<Row>> {
    let found = tx.query_opt(
        "SELECT winner_by, after_us, state, winner, chosen_by, chosen_at, why FROM ab_test WHERE delivery = $1",
        &binds![id],
        |row| {
            Ok::<_, Error>(Row {
                winner_by: row.text(0)?,
                after_us: row.int(1)?,
                state: AbState::parse(&row.text(2)?)?,
                winner: row.int_opt(3)?.and_then(|winner| usize::try_from(winner).ok()),
                chosen_by: row.text(4)?,
                chosen_at: row.int_opt(5)?,
                why: row.text(6)?,
                variants: Vec::new(),
            })
        },
    )?;
    let Some(mut test) = found else { return Ok(None) };
    test.variants = tx.query(
        "SELECT snapshot, subject, messages, sent, opened, clicked FROM ab_variant WHERE delivery = $1 ORDER BY variant",
        &binds![id],
        |row| {
            let figures = (row.int_opt(3)?, row.int_opt(4)?, row.int_opt(5)?);
            Ok::<_, Error>(VariantRow {
                snapshot: row.text(0)?,
                subject: row.text(1)?,
                messages: row.int(2)?,
                chosen_by: match figures {
                    (Some(sent), Some(opened), Some(clicked)) => Some([sent, opened, clicked]),
                    _ => None,
                },
            })
        },
    )?;
    Ok(Some(test))
}
