//! What tables and columns the database has, as its own catalogue says.

use crate::Dialect;
use crate::binds;
use crate::error::{Error, Result};
use crate::tx::Tx;
use std::collections::{BTreeMap, BTreeSet};

/// How a column's values are written in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Real,
    Text,
    Blob,
}

/// One table: its columns in order, and the key that orders its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, Kind)>,
    pub(crate) key: Vec<String>,
}

/// Names of the tables that hold data, partitions not counted apart from their parent.
pub(crate) fn table_names(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        }
        Dialect::Postgres => {
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition \
             AND relnamespace = current_schema()::regnamespace ORDER BY relname COLLATE \"C\""
        }
    };
    tx.query(sql, &[], |row| row.text(0))
}

/// All tables, each after the ones it refers to.
pub(crate) fn tables(tx: &mut Tx<'_>) -> Result<Vec<Table>> {
    let mut references: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for name in table_names(tx)? {
        references.insert(name.clone(), refers_to(tx, &name)?);
        found.insert(name.clone(), table(tx, &name)?);
    }
    let mut ordered = Vec::new();
    while !references.is_empty() {
        let free =
            references.iter().find(|(name, to)| to.iter().all(|t| t == *name || !references.contains_key(t)));
        // Tables that refer to each other in a circle come in the order of their names.
        let next = free.or_else(|| references.iter().next()).map(|(name, _)| name.clone());
        if let Some(name) = next {
            references.remove(&name);
            ordered.extend(found.remove(&name));
        }
    }
    Ok(ordered)
}

fn refers_to(tx: &mut Tx<'_>, name: &str) -> Result<BTreeSet<String>> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => "SELECT \"table\" FROM pragma_foreign_key_list($1)",
        Dialect::Postgres => {
            "SELECT t.relname FROM pg_constraint c JOIN pg_class f ON f.oid = c.conrelid \
             JOIN pg_class t ON t.oid = c.confrelid WHERE c.contype = 'f' AND f.relname = $1 \
             AND f.relnamespace = current_schema()::regnamespace"
        }
    };
    Ok(tx.query(sql, &binds![name], |row| row.text(0))?.into_iter().collect())
}

fn table(tx: &mut Tx<'_>, name: &str) -> Result<Table> {
    let (columns, key) = match tx.dialect() {
        Dialect::Sqlite => (
            "SELECT name, lower(type) FROM pragma_table_info($1) ORDER BY cid",
            "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk",
        ),
        Dialect::Postgres => (
            "SELECT column_name, data_type FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
            "SELECT a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
             CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, place) \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
             WHERE i.indisprimary AND c.relname = $1 AND c.relnamespace = current_schema()::regnamespace \
             ORDER BY k.place",
        ),
    };
    let columns = tx.query(columns, &binds![name], |row| {
        let kind = kind(row.str(1)?).ok_or_else(|| {
            Error::Archive(format!("table {name} has a column of a type that no backup knows"))
        })?;
        Ok::<_, Error>((row.text(0)?, kind))
    })?;
    let key = tx.query(key, &binds![name], |row| row.text(0))?;
    Ok(Table { name: name.to_string(), columns, key })
}

fn kind(sql_type: &str) -> Option<Kind> {
    Some(match sql_type {
        "integer" | "int" | "bigint" | "smallint" | "boolean" => Kind::Int,
        "real" | "double precision" => Kind::Real,
        "text" | "character varying" | "json" | "jsonb" => Kind::Text,
        "blob" | "bytea" => Kind::Blob,
        _ => return None,
    })
}
