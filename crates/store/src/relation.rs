//! Set-based work across rooms: a room hands out a SELECT over its own tables, another joins it.

use crate::sql;
use crate::value::Value;

/// A SELECT with its parameters, written with `$1..$n` local to itself. The exporting function documents the columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// The SELECT, without a trailing semicolon.
    pub sql: String,
    /// Its parameters, `$1` first.
    pub binds: Vec<Value>,
}

impl Relation {
    /// A relation from its text and parameters.
    pub fn new(sql: impl Into<String>, binds: Vec<Value>) -> Relation {
        Relation { sql: sql.into(), binds }
    }

    /// Appends this relation's parameters to `binds` and returns its SQL with the numbers that then fit:
    /// `format!("SELECT count(*) FROM ({}) r", relation.splice(&mut binds))`.
    pub fn splice(&self, binds: &mut Vec<Value>) -> String {
        let spliced = sql::renumber(&self.sql, binds.len());
        binds.extend(self.binds.iter().cloned());
        spliced
    }
}
