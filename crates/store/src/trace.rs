//! What statements cost: for who wants an explanation of a slow piece of work. Only texts, counts and times are kept;
//! values are parameters and never part of a text.

use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Different statements that one trace tells apart; further ones count together as the last.
pub const STATEMENTS_MAX: usize = 200;
/// What stands for the statements that had no room.
const OTHERS: &str = "(other statements)";

/// A statement, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, with placeholders where values stood.
    pub sql: String,
    /// How often it ran.
    pub runs: u64,
    /// Rows read or changed.
    pub rows: u64,
    /// Time in the database and in the reader of its rows.
    pub took: Duration,
}

/// Gathers the statements of the transactions of one [`crate::Store::traced`]. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trace {
    statements: Arc<Mutex<Vec<Statement>>>,
}

impl Trace {
    /// The statements so far, the dearest first.
    pub fn statements(&self) -> Vec<Statement> {
        let mut found = self.lock().clone();
        found.sort_by(|a, b| b.took.cmp(&a.took).then_with(|| a.sql.cmp(&b.sql)));
        found
    }

    pub(crate) fn add(&self, sql: &str, rows: u64, took: Duration) {
        let mut statements = self.lock();
        let full = statements.len() >= STATEMENTS_MAX;
        let wanted = if full && !statements.iter().any(|known| known.sql == sql) { OTHERS } else { sql };
        match statements.iter_mut().find(|known| known.sql == wanted) {
            Some(known) => {
                known.runs += 1;
                known.rows += rows;
                known.took += took;
            }
            None => statements.push(Statement { sql: wanted.to_owned(), runs: 1, rows, took }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Statement>> {
        self.statements.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lane, Store, binds};

    #[tokio::test]
    async fn a_traced_store_tells_statements_rows_and_no_values() {
        crate::testing::each(|store: Store| async move {
            let trace = Trace::default();
            let traced = store.traced(trace.clone());
            traced
                .write(Lane::Bulk, |tx| {
                    tx.batch("CREATE TABLE person (id @ID, name TEXT NOT NULL) @STRICT")?;
                    tx.execute_many(
                        "INSERT INTO person (name) VALUES ($1)",
                        [binds!["secret"], binds!["other"]],
                    )?;
                    tx.execute("UPDATE person SET name = $1", &binds!["secret"])
                })
                .await
                .unwrap();
            let select = "SELECT name FROM person WHERE name = $1";
            let rows =
                traced.read(move |tx| tx.query(select, &binds!["secret"], |row| row.text(0))).await.unwrap();
            assert_eq!(rows.len(), 2);
            let statements = trace.statements();
            let of = |sql: &str| statements.iter().find(|s| s.sql == sql).unwrap();
            assert_eq!((of(select).runs, of(select).rows), (1, 2));
            assert_eq!(of("UPDATE person SET name = $1").rows, 2);
            assert!(statements.iter().all(|s| !s.sql.contains("secret")));
            // The store beside it keeps no account.
            store.read(|tx| tx.query("SELECT 1", &[], |row| row.int(0))).await.unwrap();
            assert!(trace.statements().iter().all(|s| s.sql != "SELECT 1"));
        })
        .await;
    }

    #[test]
    fn a_trace_is_bounded() {
        let trace = Trace::default();
        for n in 0..STATEMENTS_MAX + 50 {
            trace.add(&format!("SELECT {n}"), 1, Duration::from_millis(1));
        }
        let statements = trace.statements();
        assert_eq!(statements.len(), STATEMENTS_MAX + 1);
        assert_eq!(statements[0].sql, OTHERS);
        assert_eq!(statements[0].runs, 50);
    }
}
