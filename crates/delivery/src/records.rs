//! Rows of `delivery`: the one place that knows their columns.

use store::{Row, Tx, binds};

use crate::definition::Definition;
use crate::types::{Delivery, DeliveryId, Error, ProofFreshness, Result, State, Summary};

const COLUMNS: &str = "id, parent, proof_no, label, code, state, definition, html, body_text, origin, revision, \
     analysed_revision, snapshot, target, to_deliver, predicted_end, archived, created_at, updated_at, analysed_at, \
     confirmed_at, finished_at, content_hash, proof_hash";

const SUMMARY_COLUMNS: &str = "id, label, code, state, parent, proof_no, to_deliver, archived, created_at, updated_at, \
     confirmed_at, finished_at";

/// A delivery to be written.
pub(crate) struct NewDelivery<'a> {
    pub definition: &'a Definition,
    pub html: Option<&'a str>,
    pub text: Option<&'a str>,
    pub parent: Option<DeliveryId>,
    pub proof_no: i64,
    pub label: &'a str,
    pub origin: Option<&'a str>,
    pub now_us: i64,
}

pub(crate) fn insert(tx: &mut Tx<'_>, new: &NewDelivery<'_>) -> Result<DeliveryId> {
    let hash = content_hash(new.definition, new.html, new.text);
    Ok(tx.insert_id(
        "INSERT INTO delivery (parent, proof_no, label, code, state, definition, html, body_text, origin, content_hash, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, 'draft', $5, $6, $7, $8, $9, $10, $10)",
        &binds![
            new.parent,
            new.proof_no,
            new.label,
            new.definition.code.as_str(),
            json(new.definition)?,
            new.html,
            new.text,
            new.origin,
            hash,
            new.now_us
        ],
    )?)
}

pub(crate) fn get(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Delivery> {
    let sql = format!("SELECT {COLUMNS} FROM delivery WHERE id = $1 AND state <> 'deleted'");
    tx.query_opt(&sql, &binds![id], read)?.ok_or(Error::NotFound(id))
}

pub(crate) fn by_origin(tx: &mut Tx<'_>, origin: &str) -> Result<Option<Delivery>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM delivery WHERE origin = $1 AND state IN ('draft', 'ready', 'failed', 'analysing') \
         ORDER BY id DESC LIMIT 1"
    );
    tx.query_opt(&sql, &binds![origin], read)
}

/// Overwrites what an author can edit; the analysis is out of date from now on.
pub(crate) fn update_content(tx: &mut Tx<'_>, delivery: &Delivery, now_us: i64) -> Result<()> {
    let definition = &delivery.definition;
    let hash = content_hash(definition, delivery.html.as_deref(), delivery.text.as_deref());
    tx.execute(
        "UPDATE delivery SET label = $2, code = $3, definition = $4, html = $5, body_text = $6, content_hash = $7, \
         revision = revision + 1, state = 'draft', updated_at = $8 WHERE id = $1",
        &binds![
            delivery.id,
            definition.label.as_str(),
            definition.code.as_str(),
            json(definition)?,
            delivery.html.as_deref(),
            delivery.text.as_deref(),
            hash,
            now_us
        ],
    )?;
    Ok(())
}

pub(crate) fn set_state(tx: &mut Tx<'_>, id: DeliveryId, state: State, now_us: i64) -> Result<()> {
    tx.execute(
        "UPDATE delivery SET state = $2, updated_at = $3, \
         finished_at = CASE WHEN $4 = 1 THEN coalesce(finished_at, $3) ELSE finished_at END WHERE id = $1",
        &binds![id, state.as_str(), now_us, state.is_final()],
    )?;
    Ok(())
}

pub(crate) fn summaries(tx: &mut Tx<'_>, tail: &str, binds: &[store::Value]) -> Result<Vec<Summary>> {
    tx.query(&format!("SELECT {SUMMARY_COLUMNS} FROM delivery {tail}"), binds, |row| {
        Ok(Summary {
            id: row.int(0)?,
            label: row.text(1)?,
            code: row.text(2)?,
            state: state(row, 3)?,
            parent: row.int_opt(4)?,
            proof_no: row.int(5)?,
            to_deliver: row.int(6)?,
            archived: row.bool(7)?,
            created_at: row.int(8)?,
            updated_at: row.int(9)?,
            confirmed_at: row.int_opt(10)?,
            finished_at: row.int_opt(11)?,
        })
    })
}

fn read(row: &Row<'_>) -> Result<Delivery> {
    let (content_hash, proof_hash) = (row.text(22)?, row.text_opt(23)?);
    Ok(Delivery {
        id: row.int(0)?,
        parent: row.int_opt(1)?,
        proof_no: row.int(2)?,
        label: row.text(3)?,
        code: row.text(4)?,
        state: state(row, 5)?,
        definition: serde_json::from_str(&row.text(6)?)
            .map_err(|error| Error::Internal(format!("stored definition: {error}")))?,
        html: row.text_opt(7)?,
        text: row.text_opt(8)?,
        origin: row.text_opt(9)?,
        revision: row.int(10)?,
        analysed_revision: row.int_opt(11)?,
        snapshot: row.text_opt(12)?,
        target: row.int(13)?,
        to_deliver: row.int(14)?,
        predicted_end: row.int_opt(15)?,
        archived: row.bool(16)?,
        created_at: row.int(17)?,
        updated_at: row.int(18)?,
        analysed_at: row.int_opt(19)?,
        confirmed_at: row.int_opt(20)?,
        finished_at: row.int_opt(21)?,
        proof: match proof_hash {
            None => ProofFreshness::None,
            Some(hash) if hash == content_hash => ProofFreshness::Current,
            Some(_) => ProofFreshness::Outdated,
        },
    })
}

fn state(row: &Row<'_>, index: usize) -> Result<State> {
    let name = row.text(index)?;
    State::parse(&name).ok_or_else(|| Error::Internal(format!("stored state {name:?}")))
}

fn json(definition: &Definition) -> Result<String> {
    serde_json::to_string(definition).map_err(|error| Error::Internal(format!("definition: {error}")))
}

/// Hash of what a proof shows: subject, preheader, sender and bodies. Target and parameters do not count.
fn content_hash(definition: &Definition, html: Option<&str>, text: Option<&str>) -> String {
    let sender = &definition.sender;
    let mut hasher = blake3::Hasher::new();
    for piece in [
        &definition.subject,
        &definition.preheader,
        &sender.name,
        &sender.address,
        &sender.reply_to,
        html.unwrap_or("\u{0}"),
        text.unwrap_or("\u{0}"),
    ] {
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_hash_sees_each_piece_and_no_boundary_slips() {
        let mut one = Definition::new("x");
        one.subject = "ab".into();
        let mut two = one.clone();
        two.subject = "a".into();
        two.preheader = "b".into();
        assert_ne!(content_hash(&one, None, None), content_hash(&two, None, None));
        assert_ne!(content_hash(&one, None, None), content_hash(&one, Some(""), None));
        let mut other_label = one.clone();
        other_label.label = "y".into();
        assert_eq!(content_hash(&one, None, None), content_hash(&other_label, None, None));
    }
}
