//! Statements on a SQLite connection: parameters by number, stepping, and errors sorted.

use crate::error::{Constraint, Error, Result, shown};
use crate::row::{Cells, Row};
use crate::value::Value;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ffi};

/// SQLite takes `$1` for a *name* and numbers names by first appearance, so the place of each is looked up once per
/// call instead of rewriting the text.
struct Places(Vec<usize>);

fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<(CachedStatement<'c>, Places)> {
    let statement = connection.prepare_cached(sql).map_err(|e| error(e, sql))?;
    let mut places = Vec::with_capacity(statement.parameter_count());
    for index in 1..=statement.parameter_count() {
        let number = statement.parameter_name(index).and_then(|name| name[1..].parse::<usize>().ok());
        match number {
            Some(number) if number >= 1 => places.push(number - 1),
            _ => return Err(Error::Type(format!("parameters are written $1, $2 … in: {}", shown(sql)))),
        }
    }
    Ok((statement, Places(places)))
}

fn bind(statement: &mut CachedStatement<'_>, places: &Places, binds: &[Value], sql: &str) -> Result<()> {
    for (index, place) in places.0.iter().enumerate() {
        let Some(value) = binds.get(*place) else {
            return Err(Error::Type(format!("parameter ${} has no value in: {}", place + 1, shown(sql))));
        };
        statement.raw_bind_parameter(index + 1, output(value)?).map_err(|e| error(e, sql))?;
    }
    Ok(())
}

fn output(value: &Value) -> Result<ToSqlOutput<'_>> {
    Ok(match value {
        Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        Value::Int(v) => ToSqlOutput::Borrowed(ValueRef::Integer(*v)),
        Value::Real(v) => ToSqlOutput::Borrowed(ValueRef::Real(*v)),
        Value::Text(v) => ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes())),
        Value::Blob(v) => ToSqlOutput::Borrowed(ValueRef::Blob(v)),
        Value::BlobArray(_) => return Err(Error::Type("SQLite cannot bind an array of octets".into())),
        Value::IntArray(_) | Value::TextArray(_) => {
            ToSqlOutput::Owned(value.json_array().map_or(rusqlite::types::Value::Null, Into::into))
        }
    })
}

pub(crate) fn execute(connection: &Connection, sql: &str, binds: &[Value]) -> Result<u64> {
    execute_many(connection, sql, std::iter::once(binds))
}

pub(crate) fn execute_many<I>(connection: &Connection, sql: &str, rows: I) -> Result<u64>
where
    I: IntoIterator,
    I::Item: AsRef<[Value]>,
{
    let (mut statement, places) = prepare(connection, sql)?;
    let mut changed = 0;
    for row in rows {
        bind(&mut statement, &places, row.as_ref(), sql)?;
        let before = connection.total_changes();
        let mut results = statement.raw_query();
        // A statement with RETURNING is run to its end, whoever looks at the rows.
        while results.next().map_err(|e| error(e, sql))?.is_some() {}
        drop(results);
        // `changes` keeps the figure of an earlier statement when this one cannot change rows.
        if connection.total_changes() != before {
            changed += connection.changes();
        }
    }
    Ok(changed)
}

/// Steps through a result until `visit` says false.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    binds: &[Value],
    visit: &mut dyn FnMut(&Row<'_>) -> bool,
) -> Result<()> {
    let (mut statement, places) = prepare(connection, sql)?;
    bind(&mut statement, &places, binds, sql)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(|e| error(e, sql))? {
        if !visit(&Row(Cells::Sqlite(row))) {
            break;
        }
    }
    Ok(())
}

/// Sorts a SQLite failure; `sql` is named where the statement is to blame.
pub(crate) fn error(error: rusqlite::Error, sql: &str) -> Error {
    let rusqlite::Error::SqliteFailure(failure, text) = &error else {
        return Error::Statement { message: error.to_string(), sql: shown(sql) };
    };
    let message = text.clone().unwrap_or_else(|| failure.to_string());
    match failure.code {
        ErrorCode::DiskFull => Error::DiskFull(message),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy(message),
        ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly => {
            Error::Unavailable(message)
        }
        ErrorCode::ConstraintViolation => {
            let kind = match failure.extended_code {
                ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID => Constraint::Unique,
                ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Constraint::ForeignKey,
                ffi::SQLITE_CONSTRAINT_NOTNULL => Constraint::NotNull,
                _ => Constraint::Check,
            };
            Error::Constraint { kind, what: message }
        }
        _ => Error::Statement { message, sql: shown(sql) },
    }
}
