//! Putting a chunk of sorted rows into the database: one transaction, one answer for each row.
//!
//! SQLite: prepared statements, row by row; the rows come in the order of the unique index. PostgreSQL: COPY into
//! a temporary table, then one update and one insert over all.

use store::{Dialect, Tx, Value, binds};

use super::rows::{ATTRIBUTES, Staged};
use crate::error::{Error, Result};
use crate::row::attributes_of;

/// What a chunk's rows became.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
}

const EXISTING: &str = "SELECT id, email, first_name, last_name, language, time_zone, country, city, email_format, attributes \
     FROM recipient WHERE email_key = $1";

const CREATE: &str = "INSERT INTO recipient (email_key, email, domain, first_name, last_name, language, time_zone, country, city, \
     email_format, attributes, denylisted, created_at, updated_at) VALUES ($1, $2, $3, coalesce($4, ''), coalesce($5, ''), \
     coalesce($6, ''), coalesce($7, ''), coalesce($8, ''), coalesce($9, ''), coalesce($10, ''), $11, 0, $12, $12) RETURNING id";

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
            for row in &rows {
                match existing(tx, row)? {
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

fn existing(tx: &mut Tx<'_>, row: &Staged) -> Result<Existing> {
    let found = tx.query_opt(EXISTING, &row[..1], |old| {
        let id = old.int(0)?;
        let same = |value: &Value, column: usize| match value {
            Value::Text(text) => Ok::<_, Error>(old.str(column)? == text),
            _ => Ok(true),
        };
        let mut fields = same(&row[1], 1)?;
        for (i, value) in row[3..ATTRIBUTES].iter().enumerate() {
            fields = fields && same(value, i + 2)?;
        }
        let (old, new) = (old.str(9)?, text(&row[ATTRIBUTES]));
        if old == new {
            let attributes = || old.to_owned();
            return Ok(if fields {
                Existing::Same(id)
            } else {
                Existing::Changed { id, attributes: attributes() }
            });
        }
        let before = attributes_of(old)?;
        let mut after = before.clone();
        after.extend(attributes_of(new)?);
        if fields && before == after {
            return Ok(Existing::Same(id));
        }
        Ok::<_, Error>(Existing::Changed { id, attributes: crate::recipient::attributes_json(&after) })
    })?;
    Ok(found.unwrap_or(Existing::None))
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

fn merge_sqlite(tx: &mut Tx<'_>, rows: Vec<Staged>, list: i64, now_us: i64) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut members = Vec::with_capacity(rows.len());
    for mut row in rows {
        let found = existing(tx, &row)?;
        row.push(Value::Int(now_us));
        let id = match found {
            Existing::None => {
                merged.created += 1;
                tx.query_one(CREATE, &row, |row| Ok::<_, Error>(row.int(0)?))?
            }
            Existing::Same(id) => {
                merged.unchanged += 1;
                id
            }
            Existing::Changed { id, attributes } => {
                merged.updated += 1;
                row[ATTRIBUTES] = Value::Text(attributes);
                tx.execute(CHANGE, &row)?;
                id
            }
        };
        members.push([Value::Int(list), Value::Int(id)]);
    }
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
    tx.batch("ANALYZE import_stage; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")?;
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
    let created = tx.execute(
        "INSERT INTO recipient (email, email_key, domain, first_name, last_name, language, time_zone, country, city, email_format, \
         attributes, created_at, updated_at) SELECT s.email, s.email_key, s.domain, coalesce(s.first_name, ''), coalesce(s.last_name, ''), \
         coalesce(s.language, ''), coalesce(s.time_zone, ''), coalesce(s.country, ''), coalesce(s.city, ''), coalesce(s.email_format, ''), \
         s.attributes, $1, $1 FROM import_stage s ON CONFLICT (email_key) DO NOTHING",
        &binds![now_us],
    )?;
    tx.execute(
        "INSERT INTO list_member (list, recipient) SELECT $1, r.id FROM import_stage s JOIN recipient r ON r.email_key = s.email_key \
         ON CONFLICT DO NOTHING",
        &binds![list],
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
