//! Putting a chunk of sorted rows into the database: one transaction, one answer for each row.
//!
//! SQLite: prepared statements, row by row; the rows come in the order of the unique index. PostgreSQL: COPY into
//! a temporary table, then one update and one insert over all.

use store::{Dialect, Row, Tx, Value, binds};

use super::rows::{ATTRIBUTES, Staged};
use crate::error::{Error, Result};
use crate::guests::guest_ids;
use crate::row::attributes_of;

/// What a chunk's rows became.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
}

/// The recipients that a chunk can meet, in the order of its rows: one statement instead of one for each row.
const IN_RANGE: &str = "SELECT id, email, first_name, last_name, language, time_zone, country, city, email_format, attributes, \
     email_key FROM recipient WHERE email_key >= $1 AND email_key <= $2 ORDER BY email_key LIMIT $3";

const BY_KEY: &str = "SELECT id, email, first_name, last_name, language, time_zone, country, city, email_format, attributes, \
     email_key FROM recipient WHERE email_key = $1";

/// Rows of one insert: what a statement costs by itself (above all the update of the id sequence) is shared.
const CREATE_ROWS: usize = 20;
/// Values of one inserted row: a [`Staged`], the time, the id.
const CREATE_VALUES: usize = ATTRIBUTES + 3;

/// An insert of so many rows, with their ids given. RETURNING and `ABORT` (the default) would make SQLite keep a journal
/// for each statement, which takes longer than the insert itself; a statement that fails ends the transaction anyway.
fn create_sql(rows: usize) -> String {
    let mut sql = String::from(
        "INSERT OR FAIL INTO recipient (email_key, email, domain, first_name, last_name, language, time_zone, country, city, \
         email_format, attributes, denylisted, created_at, updated_at, id) VALUES ",
    );
    for row in 0..rows {
        let n = |i: usize| row * CREATE_VALUES + i;
        if row > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&format!("(${}, ${}, ${}", n(1), n(2), n(3)));
        for field in 4..=ATTRIBUTES {
            sql.push_str(&format!(", coalesce(${}, '')", n(field)));
        }
        let (attributes, time, id) = (n(CREATE_VALUES - 2), n(CREATE_VALUES - 1), n(CREATE_VALUES));
        sql.push_str(&format!(", ${attributes}, 0, ${time}, ${time}, ${id})"));
    }
    sql
}

/// Inserts the rows, each with the time and its id.
fn create(tx: &mut Tx<'_>, mut rows: Vec<Staged>) -> Result<()> {
    let rest = rows.split_off(rows.len() - rows.len() % CREATE_ROWS);
    let mut rows = rows.into_iter();
    let groups = std::iter::from_fn(|| {
        let group: Vec<Value> = rows.by_ref().take(CREATE_ROWS).flatten().collect();
        (!group.is_empty()).then_some(group)
    });
    tx.execute_many(&create_sql(CREATE_ROWS), groups)?;
    tx.execute_many(&create_sql(1), rest)?;
    Ok(())
}

/// The last id that was ever given, also to a recipient deleted since.
const LAST_ID: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'recipient'), 0)";

const CHANGE: &str = "UPDATE recipient SET email = $2, domain = $3, first_name = coalesce($4, first_name), \
     last_name = coalesce($5, last_name), language = coalesce($6, language), time_zone = coalesce($7, time_zone), \
     country = coalesce($8, country), city = coalesce($9, city), email_format = coalesce($10, email_format), \
     attributes = $11, updated_at = $12 WHERE email_key = $1";

const JOIN: &str = "INSERT INTO list_member (list, recipient) VALUES ($1, $2) ON CONFLICT DO NOTHING";

/// Merges the rows and puts their recipients on the list.
pub(super) fn merge(tx: &mut Tx<'_>, rows: Vec<Staged>, list: i64, now_us: i64) -> Result<Merged> {
    match tx.dialect() {
        Dialect::Sqlite => merge_sqlite(tx, rows, list, now_us),
        Dialect::Postgres => merge_postgres(tx, rows, list, now_us),
    }
}

/// What [`merge`] would answer; nothing changes.
pub(super) fn compare(tx: &mut Tx<'_>, rows: Vec<Staged>) -> Result<Merged> {
    match tx.dialect() {
        Dialect::Sqlite => {
            let mut merged = Merged::default();
            for found in existing(tx, &rows)? {
                match found {
                    Existing::None => merged.created += 1,
                    Existing::Same(_) => merged.unchanged += 1,
                    Existing::Changed { .. } => merged.updated += 1,
                }
            }
            Ok(merged)
        }
        Dialect::Postgres => compare_postgres(tx, rows),
    }
}

/// How a row compares with the recipient of its address.
enum Existing {
    None,
    Same(i64),
    /// With the attributes that the recipient has then.
    Changed {
        id: i64,
        attributes: String,
    },
}

/// What each row meets. The rows are in the order of their keys, as are the recipients in a range of keys, so one walk over
/// both finds them all; where the range holds many more recipients than the chunk has rows, the rest is looked up by key.
fn existing(tx: &mut Tx<'_>, rows: &[Staged]) -> Result<Vec<Existing>> {
    let mut found: Vec<Existing> = rows.iter().map(|_| Existing::None).collect();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(found) };
    let walked_max = rows.len() * WALKED_PER_ROW;
    let (mut walked, mut at) = (0, 0);
    tx.query_each(IN_RANGE, &binds![&first[0], &last[0], walked_max], |old| {
        walked += 1;
        let key = old.str(KEY_COLUMN)?;
        while at < rows.len() && text(&rows[at][0]) < key {
            at += 1;
        }
        if let Some(row) = rows.get(at).filter(|row| text(&row[0]) == key) {
            found[at] = compared(old, row)?;
        }
        Ok::<_, Error>(())
    })?;
    if walked == walked_max {
        for (row, found) in rows.iter().zip(&mut found).skip(at) {
            if let Some(existing) = tx.query_opt(BY_KEY, &row[..1], |old| compared(old, row))? {
                *found = existing;
            }
        }
    }
    Ok(found)
}

/// How many recipients are walked over for each row of a chunk before looking up by key is faster.
const WALKED_PER_ROW: usize = 3;
/// Where `email_key` is in [`IN_RANGE`] and [`BY_KEY`].
const KEY_COLUMN: usize = 10;

/// Compares a recipient with the row of its address.
fn compared(old: &Row<'_>, row: &Staged) -> Result<Existing> {
    let id = old.int(0)?;
    let same = |value: &Value, column: usize| match value {
        Value::Text(text) => Ok::<_, Error>(old.str(column)? == text),
        _ => Ok(true),
    };
    let mut fields = same(&row[1], 1)?;
    for (i, value) in row[3..ATTRIBUTES].iter().enumerate() {
        fields = fields && same(value, i + 2)?;
    }
    let (before, new) = (old.str(ATTRIBUTES - 1)?, text(&row[ATTRIBUTES]));
    if before == new {
        return Ok(if fields {
            Existing::Same(id)
        } else {
            Existing::Changed { id, attributes: new.to_owned() }
        });
    }
    let before = attributes_of(before)?;
    let mut after = before.clone();
    after.extend(attributes_of(new)?);
    if fields && before == after {
        return Ok(Existing::Same(id));
    }
    Ok(Existing::Changed { id, attributes: crate::recipient::attributes_json(&after) })
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

fn merge_sqlite(tx: &mut Tx<'_>, rows: Vec<Staged>, list: i64, now_us: i64) -> Result<Merged> {
    let found = existing(tx, &rows)?;
    let mut last_id = tx.query_one(LAST_ID, &[], |row| Ok::<_, Error>(row.int(0)?))?;
    let mut merged = Merged::default();
    let mut members = Vec::with_capacity(rows.len());
    let mut created = Vec::with_capacity(rows.len());
    for (mut row, found) in rows.into_iter().zip(found) {
        let id = match found {
            Existing::None => {
                merged.created += 1;
                last_id += 1;
                row.extend([Value::Int(now_us), Value::Int(last_id)]);
                created.push(row);
                last_id
            }
            Existing::Same(id) => {
                merged.unchanged += 1;
                id
            }
            Existing::Changed { id, attributes } => {
                merged.updated += 1;
                row[ATTRIBUTES] = Value::Text(attributes);
                row.push(Value::Int(now_us));
                tx.execute(CHANGE, &row)?;
                id
            }
        };
        members.push([Value::Int(list), Value::Int(id)]);
    }
    create(tx, created)?;
    tx.execute_many(JOIN, members)?;
    Ok(merged)
}

const STAGE: &str = "CREATE TEMP TABLE import_stage (email_key TEXT COLLATE \"C\" NOT NULL, email TEXT NOT NULL, domain TEXT NOT NULL, \
     first_name TEXT, last_name TEXT, language TEXT, time_zone TEXT, country TEXT, city TEXT, email_format TEXT, attributes JSONB NOT NULL) \
     ON COMMIT DROP";

const STAGE_COLUMNS: [&str; ATTRIBUTES + 1] = [
    "email_key",
    "email",
    "domain",
    "first_name",
    "last_name",
    "language",
    "time_zone",
    "country",
    "city",
    "email_format",
    "attributes",
];

/// Whether the staged row `s` changes the recipient `r`.
const DIFFERS: &str = "(r.email <> s.email OR r.first_name <> coalesce(s.first_name, r.first_name) \
     OR r.last_name <> coalesce(s.last_name, r.last_name) OR r.language <> coalesce(s.language, r.language) \
     OR r.time_zone <> coalesce(s.time_zone, r.time_zone) OR r.country <> coalesce(s.country, r.country) \
     OR r.city <> coalesce(s.city, r.city) OR r.email_format <> coalesce(s.email_format, r.email_format) \
     OR NOT r.attributes @> s.attributes)";

/// One import's chunk at a time over all nodes: two merges of the same addresses would wait for each other.
const MERGE_LOCK: i64 = 0x6d77_6175_6469; // "mwaudi"

fn stage(tx: &mut Tx<'_>, rows: Vec<Staged>) -> Result<u64> {
    tx.query("SELECT pg_advisory_xact_lock($1)", &binds![MERGE_LOCK], |_| Ok::<_, Error>(()))?;
    tx.batch(STAGE)?;
    let staged = tx.copy_in("import_stage", &STAGE_COLUMNS, rows.into_iter())?;
    // Without statistics the planner takes the table for a large one and reads all recipients for each chunk.
    tx.batch(
        "ANALYZE import_stage (email_key); SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off",
    )?;
    Ok(staged)
}

fn merge_postgres(tx: &mut Tx<'_>, rows: Vec<Staged>, list: i64, now_us: i64) -> Result<Merged> {
    let staged = stage(tx, rows)?;
    let update = format!(
        "UPDATE recipient r SET email = s.email, domain = s.domain, first_name = coalesce(s.first_name, r.first_name), \
         last_name = coalesce(s.last_name, r.last_name), language = coalesce(s.language, r.language), \
         time_zone = coalesce(s.time_zone, r.time_zone), country = coalesce(s.country, r.country), \
         city = coalesce(s.city, r.city), email_format = coalesce(s.email_format, r.email_format), \
         attributes = r.attributes || s.attributes, updated_at = $1 \
         FROM import_stage s WHERE r.email_key = s.email_key AND {DIFFERS}"
    );
    let updated = tx.execute(&update, &binds![now_us])?;
    // Those who were there first, then the new ones from what the insert answers: no second look-up for them.
    tx.execute(
        "INSERT INTO list_member (list, recipient) SELECT $1, r.id FROM import_stage s JOIN recipient r ON r.email_key = s.email_key \
         ON CONFLICT DO NOTHING",
        &binds![list],
    )?;
    let created = tx.execute(
        "WITH made AS (INSERT INTO recipient (email, email_key, domain, first_name, last_name, language, time_zone, country, city, \
         email_format, attributes, created_at, updated_at) SELECT s.email, s.email_key, s.domain, coalesce(s.first_name, ''), \
         coalesce(s.last_name, ''), coalesce(s.language, ''), coalesce(s.time_zone, ''), coalesce(s.country, ''), \
         coalesce(s.city, ''), coalesce(s.email_format, ''), s.attributes, $1, $1 FROM import_stage s \
         ON CONFLICT (email_key) DO NOTHING RETURNING id) \
         INSERT INTO list_member (list, recipient) SELECT $2, id FROM made",
        &binds![now_us, list],
    )?;
    Ok(Merged { created, updated, unchanged: staged.saturating_sub(created + updated) })
}

fn compare_postgres(tx: &mut Tx<'_>, rows: Vec<Staged>) -> Result<Merged> {
    let staged = stage(tx, rows)?;
    let sql = format!(
        "SELECT count(*) FILTER (WHERE r.id IS NULL), count(*) FILTER (WHERE r.id IS NOT NULL AND {DIFFERS}) \
         FROM import_stage s LEFT JOIN recipient r ON r.email_key = s.email_key"
    );
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let (created, updated) =
        tx.query_one(&sql, &[], |row| Ok::<_, Error>((count(row.int(0)?), count(row.int(1)?))))?;
    Ok(Merged { created, updated, unchanged: staged.saturating_sub(created + updated) })
}

/// The columns of a guest in the order of a [`Staged`], then what [`add_guests`] puts behind it.
const GUEST_COLUMNS: [&str; ATTRIBUTES + 6] = [
    "email_key",
    "email",
    "domain",
    "first_name",
    "last_name",
    "language",
    "time_zone",
    "country",
    "city",
    "email_format",
    "attributes",
    "id",
    "file",
    "denylisted",
    "created_at",
    "updated_at",
];

/// Adds the rows to a delivery's guests. The file's rows of an earlier import are gone before, so each is new.
pub(super) fn add_guests(
    tx: &mut Tx<'_>,
    rows: Vec<Staged>,
    delivery: i64,
    file: &str,
    now_us: i64,
) -> Result<Merged> {
    if tx.dialect() == Dialect::Postgres {
        tx.query("SELECT pg_advisory_xact_lock($1)", &binds![MERGE_LOCK], |_| Ok::<_, Error>(()))?;
    }
    let ids = guest_ids(delivery);
    let sql = "SELECT max(id) FROM guest WHERE id BETWEEN $1 AND $2";
    let last = tx.query_one(sql, &binds![*ids.start(), *ids.end()], |row| Ok::<_, Error>(row.int_opt(0)?))?;
    let first = last.map_or(*ids.start(), |last| last + 1);
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if first.saturating_add(count) > *ids.end() {
        return Err(Error::File(
            "the files of this delivery have more rows than a delivery can hold".to_owned(),
        ));
    }
    let rows = rows.into_iter().zip(first..).map(|(mut row, id)| {
        for value in &mut row {
            if *value == Value::Null {
                *value = Value::Text(String::new());
            }
        }
        row.extend([id.into(), file.into(), Value::Int(0), Value::Int(now_us), Value::Int(now_us)]);
        row
    });
    let created = tx.copy_in("guest", &GUEST_COLUMNS, rows)?;
    Ok(Merged { created, ..Merged::default() })
}
