//! An analysis that explains itself: which statements it ran, for how many rows and how long, in the journal. Values are
//! parameters of the statements, so none of them is shown.

use store::{Statement, Trace};
use typology::{Finding, Level};

use crate::Deliveries;
use crate::words;

/// Statements that the journal lists, the dearest first.
const LISTED_MAX: usize = 40;
/// Longest text of a statement, in characters.
const SQL_CHARS_MAX: usize = 600;

impl Deliveries {
    /// The same rooms, whose statements are noted in `trace`.
    pub(crate) fn traced(&self, trace: &Trace) -> Deliveries {
        let mut traced = self.clone();
        traced.store = self.store.traced(trace.clone());
        traced.rooms.audience = audience::Audience::new(traced.store.clone());
        traced
    }
}

/// Lines for the journal.
pub(crate) fn lines(trace: &Trace) -> Vec<Finding> {
    let statements = trace.statements();
    let mut lines: Vec<_> = statements.iter().take(LISTED_MAX).map(line).collect();
    if statements.len() > LISTED_MAX {
        let left = statements.len() - LISTED_MAX;
        lines.push(Finding::new("", Level::Info, format!("SQL: {left} more statements took less time")));
    }
    lines
}

fn line(statement: &Statement) -> Finding {
    let sql = statement.sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = sql.chars().take(SQL_CHARS_MAX).collect();
    let rest = if shown.len() < sql.len() { "…" } else { "" };
    let runs = i64::try_from(statement.runs).unwrap_or(i64::MAX);
    let rows = i64::try_from(statement.rows).unwrap_or(i64::MAX);
    let text = format!(
        "SQL, {:.3} s, {}, {}: {shown}{rest}",
        statement.took.as_secs_f64(),
        words::counted(runs, "run", "runs"),
        words::counted(rows, "row", "rows"),
    );
    Finding::new("", Level::Info, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_time_runs_rows_and_the_text_on_one_line() {
        let statement = Statement {
            sql: "SELECT 1\n   FROM target".into(),
            runs: 2,
            rows: 1_000,
            took: std::time::Duration::from_millis(1_500),
        };
        assert_eq!(line(&statement).text, "SQL, 1.500 s, 2 runs, 1,000 rows: SELECT 1 FROM target");
    }
}
