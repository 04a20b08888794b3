//! Analyses that ended: what each step took, and what changed from one to another in target and content.

use std::collections::BTreeMap;

use serde::Serialize;
use store::{Row, Tx, binds};

use crate::Deliveries;
use crate::changes::{self, KeyChange, PartChange};
use crate::definition::Definition;
use crate::members::Members;
use crate::types::{Delivery, DeliveryId, Error, Result, Sources, State, StepTaken};

/// Analyses of one delivery that are kept.
pub const ANALYSES_KEPT: i64 = 10;
/// Recipients named of those who came, and of those who went.
const NAMED_MAX: usize = 10;

const COLUMNS: &str = "id, at, took_ms, state, snapshot, to_deliver, excluded, steps";

/// An analysis that ended.
#[derive(Debug, Clone, Serialize)]
pub struct PastAnalysis {
    /// Its number.
    pub id: i64,
    /// When it ended (µs).
    pub at: i64,
    /// How long it took.
    pub took_ms: i64,
    /// How it left the delivery: ready, failed, or draft when it was stopped.
    pub state: State,
    /// What it froze.
    pub snapshot: Option<String>,
    /// Messages.
    pub to_deliver: i64,
    /// Recipients left out, by reason.
    pub excluded: BTreeMap<String, i64>,
    /// What each step took.
    pub steps: Vec<StepTaken>,
}

/// What changed from an analysis to a later one.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The earlier.
    pub before: PastAnalysis,
    /// The later.
    pub after: PastAnalysis,
    /// Who gets a message only by the later; `None`: not known (one of them failed, or ids are too large).
    pub came: Option<Moved>,
    /// Who would have got one only by the earlier.
    pub went: Option<Moved>,
    /// Parts of the content that changed.
    pub content: Vec<PartChange>,
    /// Keys of the definition that changed.
    pub keys: Vec<KeyChange>,
}

/// Recipients who came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// How many.
    pub count: u64,
    /// Addresses of the first few that still exist.
    pub examples: Vec<String>,
}

/// An analysis about to be kept.
pub(crate) struct Ended<'a> {
    pub delivery: &'a Delivery,
    pub state: State,
    pub took_ms: i64,
    pub snapshot: Option<&'a str>,
    pub to_deliver: i64,
    pub excluded: &'a BTreeMap<String, i64>,
    pub steps: &'a [StepTaken],
    pub members: Option<Vec<u8>>,
}

/// Keeps an analysis, and lets the oldest go.
pub(crate) fn keep(tx: &mut Tx<'_>, ended: &Ended<'_>, now_us: i64) -> Result<()> {
    let delivery = ended.delivery;
    tx.execute(
        "INSERT INTO analysis (delivery, revision, at, took_ms, state, snapshot, to_deliver, excluded, steps, definition, \
         sources, members) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &binds![
            delivery.id,
            delivery.revision,
            now_us,
            ended.took_ms,
            ended.state.as_str(),
            ended.snapshot,
            ended.to_deliver,
            json(ended.excluded)?,
            json(&ended.steps)?,
            json(&delivery.definition)?,
            json(&delivery.sources())?,
            ended.members.clone()
        ],
    )?;
    tx.execute("UPDATE delivery SET analysis_restarts = 0 WHERE id = $1", &binds![delivery.id])?;
    tx.execute(
        "DELETE FROM analysis WHERE delivery = $1 AND id NOT IN \
         (SELECT a.id FROM analysis a WHERE a.delivery = $1 ORDER BY a.id DESC LIMIT $2)",
        &binds![delivery.id, ANALYSES_KEPT],
    )?;
    Ok(())
}

/// Forgets the analyses of a delivery that is deleted.
pub(crate) fn forget(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute("DELETE FROM analysis WHERE delivery = $1", &binds![id])?;
    Ok(())
}

impl Deliveries {
    /// The analyses of a delivery that are kept, newest first.
    pub async fn analyses(&self, id: DeliveryId) -> Result<Vec<PastAnalysis>> {
        self.get(id).await?;
        let sql = format!("SELECT {COLUMNS} FROM analysis WHERE delivery = $1 ORDER BY id DESC");
        self.store.read(move |tx| tx.query(&sql, &binds![id], read)).await
    }

    /// What changed from one analysis of a delivery to another; both by their number in [`Deliveries::analyses`].
    pub async fn compare_analyses(&self, id: DeliveryId, before: i64, after: i64) -> Result<Comparison> {
        let (before, after) = self
            .store
            .read(move |tx| Ok::<_, Error>((whole(tx, id, before)?, whole(tx, id, after)?)))
            .await?;
        let moved = match (&before.members, &after.members) {
            (Some(old), Some(new)) => Some((new.without(old, NAMED_MAX), old.without(new, NAMED_MAX))),
            _ => None,
        };
        let (came, went) = match moved {
            None => (None, None),
            Some((came, went)) => (Some(self.named(came).await?), Some(self.named(went).await?)),
        };
        Ok(Comparison {
            came,
            went,
            content: changes::of_sources(&before.sources, &after.sources),
            keys: changes::of_definitions(&before.definition, &after.definition),
            before: before.analysis,
            after: after.analysis,
        })
    }

    async fn named(&self, (count, ids): (u64, Vec<i64>)) -> Result<Moved> {
        let mut examples = Vec::with_capacity(ids.len());
        for id in ids {
            examples.extend(self.rooms.audience.recipient(id).await?.map(|recipient| recipient.email));
        }
        Ok(Moved { count, examples })
    }
}

struct Whole {
    analysis: PastAnalysis,
    definition: Definition,
    sources: Sources,
    members: Option<Members>,
}

fn whole(tx: &mut Tx<'_>, delivery: DeliveryId, id: i64) -> Result<Whole> {
    let sql = format!(
        "SELECT {COLUMNS}, definition, sources, members FROM analysis WHERE delivery = $1 AND id = $2"
    );
    let found = tx.query_opt(&sql, &binds![delivery, id], |row| {
        let members = row.blob_opt(10)?.and_then(|bytes| Members::from_bytes(&bytes));
        Ok::<_, Error>(Whole {
            analysis: read(row)?,
            definition: parsed(row, 8)?,
            sources: parsed(row, 9)?,
            members,
        })
    })?;
    found.ok_or(Error::NotFound(id))
}

fn read(row: &Row<'_>) -> Result<PastAnalysis> {
    let state = row.text(3)?;
    Ok(PastAnalysis {
        id: row.int(0)?,
        at: row.int(1)?,
        took_ms: row.int(2)?,
        state: State::parse(&state).ok_or_else(|| Error::Internal(format!("stored state {state:?}")))?,
        snapshot: row.text_opt(4)?,
        to_deliver: row.int(5)?,
        excluded: parsed(row, 6)?,
        steps: parsed(row, 7)?,
    })
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(format!("an analysis: {error}")))
}

fn parsed<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<T> {
    serde_json::from_str(&row.text(index)?)
        .map_err(|error| Error::Internal(format!("a stored analysis: {error}")))
}
