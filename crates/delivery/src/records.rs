//! Rows of `delivery`: the one place that knows their columns.

use store::{Row, Tx, binds};

use crate::definition::Definition;
use crate::types::{Delivery, DeliveryId, Error, ProofFreshness, Purpose, Result, Sources, State, Summary};

const COLUMNS: &str = "id, parent, proof_no, label, code, state, definition, html, body_text, origin, revision, \
     analysed_revision, snapshot, target, to_deliver, predicted_end, archived, created_at, updated_at, analysed_at, \
     confirmed_at, finished_at, content_hash, proof_hash, mjml, amp, is_template, edited_by, resources_until, owner, \
     purpose, confirmed_by";

const SUMMARY_COLUMNS: &str = "id, label, code, state, parent, proof_no, to_deliver, archived, created_at, updated_at, \
     confirmed_at, finished_at, is_template";

/// The column's word for [`Purpose::Notice`].
const NOTICE: &str = "notice";

/// A delivery to be written.
pub(crate) struct NewDelivery<'a> {
    pub definition: &'a Definition,
    pub sources: &'a Sources,
    pub is_template: bool,
    pub by: &'a str,
    pub parent: Option<DeliveryId>,
    pub proof_no: i64,
    pub label: &'a str,
    pub origin: Option<&'a str>,
    pub purpose: Purpose,
    pub now_us: i64,
}

pub(crate) fn insert(tx: &mut Tx<'_>, new: &NewDelivery<'_>) -> Result<DeliveryId> {
    let sources = new.sources;
    let hash = content_hash(new.definition, sources, "");
    let id = tx.insert_id(
        "INSERT INTO delivery (parent, proof_no, label, code, state, definition, html, body_text, origin, content_hash, \
         created_at, updated_at, mjml, amp, is_template, edited_by, owner, purpose) \
         VALUES ($1, $2, $3, $4, 'draft', $5, $6, $7, $8, $9, $10, $10, $11, $12, $13, $14, $14, $15)",
        &binds![
            new.parent,
            new.proof_no,
            new.label,
            new.definition.code.as_str(),
            json(new.definition)?,
            sources.html.as_deref(),
            sources.text.as_deref(),
            new.origin,
            hash,
            new.now_us,
            sources.mjml.as_deref(),
            sources.amp.as_deref(),
            new.is_template,
            new.by,
            match new.purpose {
                Purpose::Delivery => "",
                Purpose::Notice => NOTICE,
            }
        ],
    )?;
    if new.parent.is_none() && !new.is_template {
        crate::schedule::remember(tx, id, new.definition)?;
    }
    Ok(id)
}

pub(crate) fn get(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Delivery> {
    let sql = format!("SELECT {COLUMNS} FROM delivery WHERE id = $1 AND state <> 'deleted'");
    tx.query_opt(&sql, &binds![id], read)?.ok_or(Error::NotFound(id))
}

pub(crate) fn by_origin(tx: &mut Tx<'_>, origin: &str) -> Result<Option<Delivery>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM delivery WHERE origin = $1 AND state IN ('draft', 'targeting_pending', 'ready', 'failed', \
         'analysing') ORDER BY id DESC LIMIT 1"
    );
    tx.query_opt(&sql, &binds![origin], read)
}

/// Overwrites what an author can edit; the analysis is out of date from now on. Call [`crate::life::edited`], which also
/// changes the state.
pub(crate) fn update_content(tx: &mut Tx<'_>, delivery: &Delivery, now_us: i64) -> Result<()> {
    let definition = &delivery.definition;
    let files = crate::files::digest(tx, delivery.id)?;
    let hash = content_hash(definition, &delivery.sources(), &files);
    tx.execute(
        "UPDATE delivery SET label = $2, code = $3, definition = $4, html = $5, body_text = $6, content_hash = $7, \
         revision = revision + 1, updated_at = $8, mjml = $9, amp = $10, edited_by = $11 WHERE id = $1",
        &binds![
            delivery.id,
            definition.label.as_str(),
            definition.code.as_str(),
            json(definition)?,
            delivery.html.as_deref(),
            delivery.text.as_deref(),
            hash,
            now_us,
            delivery.mjml.as_deref(),
            delivery.amp.as_deref(),
            delivery.edited_by.as_str()
        ],
    )?;
    if delivery.is_template {
        return Ok(());
    }
    crate::schedule::remember(tx, delivery.id, definition)
}

/// Brings the content's hash up to the files that the delivery has by now.
pub(crate) fn rehash(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    let delivery = get(tx, id)?;
    let files = crate::files::digest(tx, id)?;
    let hash = content_hash(&delivery.definition, &delivery.sources(), &files);
    tx.execute("UPDATE delivery SET content_hash = $2 WHERE id = $1", &binds![id, hash])?;
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
            is_template: row.bool(12)?,
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
        mjml: row.text_opt(24)?,
        amp: row.text_opt(25)?,
        is_template: row.bool(26)?,
        edited_by: row.text(27)?,
        resources_until: row.int_opt(28)?,
        owner: row.text(29)?,
        purpose: if row.text(30)? == NOTICE { Purpose::Notice } else { Purpose::Delivery },
        confirmed_by: row.text(31)?,
    })
}

fn state(row: &Row<'_>, index: usize) -> Result<State> {
    let name = row.text(index)?;
    State::parse(&name).ok_or_else(|| Error::Internal(format!("stored state {name:?}")))
}

fn json(definition: &Definition) -> Result<String> {
    serde_json::to_string(definition).map_err(|error| Error::Internal(format!("definition: {error}")))
}

/// Hash of what a proof shows: subject, preheader, sender, bodies, files, and how they are built. Target, retries and
/// the like do not count.
fn content_hash(definition: &Definition, sources: &Sources, files: &str) -> String {
    let sender = &definition.sender;
    let written = |source: &Option<String>| source.clone().unwrap_or_else(|| "\u{0}".to_owned());
    let mut hasher = blake3::Hasher::new();
    let mut add = |piece: &str| {
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece.as_bytes());
    };
    for piece in [
        &definition.subject,
        &definition.preheader,
        &sender.name,
        &sender.address,
        &sender.reply_to,
        &written(&sources.html),
        &written(&sources.text),
    ] {
        add(piece);
    }
    // Hashes of deliveries that use none of these stay as they were before there was anything of the kind.
    if let Some(test) = &definition.ab {
        add(&serde_json::json!(test.variants).to_string());
    }
    if definition.has_plain_content() && sources.mjml.is_none() && sources.amp.is_none() && files.is_empty() {
        return hasher.finalize().to_hex()[..32].to_owned();
    }
    let more = serde_json::json!({
        "content": definition.content,
        "format": definition.parameters.format,
        "encoding": definition.parameters.encoding,
        "headers": definition.parameters.headers,
        "links": definition.tracking.links,
        "utm": definition.tracking.utm,
        "mjml": sources.mjml,
        "amp": sources.amp,
        "files": files,
    });
    add(&more.to_string());
    hasher.finalize().to_hex()[..32].to_owned()
}

/// A draft that is in no database.
#[cfg(test)]
pub(crate) fn blank(label: &str) -> Delivery {
    Delivery {
        id: 1,
        parent: None,
        proof_no: 0,
        label: label.to_owned(),
        code: String::new(),
        state: State::Draft,
        definition: Definition::new(label),
        html: None,
        text: None,
        mjml: None,
        amp: None,
        is_template: false,
        edited_by: String::new(),
        owner: String::new(),
        purpose: Purpose::Delivery,
        confirmed_by: String::new(),
        resources_until: None,
        origin: None,
        revision: 1,
        analysed_revision: None,
        snapshot: None,
        target: 0,
        to_deliver: 0,
        predicted_end: None,
        archived: false,
        created_at: 0,
        updated_at: 0,
        analysed_at: None,
        confirmed_at: None,
        finished_at: None,
        proof: ProofFreshness::None,
    }
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
        let none = Sources::default();
        assert_ne!(content_hash(&one, &none, ""), content_hash(&two, &none, ""));
        let empty = Sources { html: Some(String::new()), ..Sources::default() };
        assert_ne!(content_hash(&one, &none, ""), content_hash(&one, &empty, ""));
        let mut other_label = one.clone();
        other_label.label = "y".into();
        assert_eq!(content_hash(&one, &none, ""), content_hash(&other_label, &none, ""));
    }

    #[test]
    fn a_proof_is_out_of_date_when_anything_that_it_shows_changed() {
        let (one, none) = (Definition::new("x"), Sources::default());
        let before = content_hash(&one, &none, "");
        let changed = |change: fn(&mut Definition, &mut Sources)| {
            let (mut definition, mut sources) = (one.clone(), none.clone());
            change(&mut definition, &mut sources);
            content_hash(&definition, &sources, "")
        };
        for other in [
            changed(|_, sources| sources.mjml = Some("<mjml>".into())),
            changed(|_, sources| sources.amp = Some("<html amp4email>".into())),
            changed(|definition, _| definition.content.images = "inline".into()),
            changed(|definition, _| definition.parameters.encoding = "shift_jis".into()),
            changed(|definition, _| definition.parameters.format = "text".into()),
            changed(|definition, _| {
                let variant = crate::definition::AbVariant { subject: "b".into(), ..Default::default() };
                definition.ab =
                    Some(crate::definition::AbTest { variants: vec![variant], ..Default::default() });
            }),
            changed(|definition, _| {
                definition.parameters.headers.insert("X-Season".into(), "autumn".into());
            }),
        ] {
            assert_ne!(before, other);
        }
        assert_eq!(before, changed(|definition, _| definition.parameters.retries = 3));
    }
}
