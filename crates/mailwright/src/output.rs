//! Printing and exit status: 0 done, 1 refused, 2 wrong usage, 3 server not reached.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Lines of progress are repeated this often when standard error is not a terminal.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The server (or a file, or a rule) refused. The document is printed with `--json`.
    Refused {
        /// What went wrong, for people.
        text: String,
        /// The same for programs.
        document: Value,
    },
    /// The command's own document, already printed, says why.
    Told,
    /// Used wrongly.
    Usage(String),
    /// The server was not reached.
    Unreached(String),
}

impl Failure {
    /// A refusal with a plain sentence.
    pub fn refused(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Refused { document: json!({"code": "refused", "detail": text}), text }
    }

    /// A feature that a later version brings.
    pub fn not_supported(what: &str) -> Self {
        let text = format!("{what} is not yet supported.");
        Self::Refused { document: json!({"code": "not_supported", "detail": text}), text }
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Told => 1,
            Self::Usage(_) => 2,
            Self::Unreached(_) => 3,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever read our output has seen enough (`… | head`): no reason to complain.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::Told;
        }
        Self::refused(error.to_string())
    }
}

/// What a command returns.
pub type Done = Result<(), Failure>;

/// Where a command prints.
pub struct Output {
    json: bool,
    terminal: bool,
    progress_at: Option<Instant>,
    progress_open: bool,
}

impl Output {
    /// Prints documents when `json`, text otherwise.
    pub fn new(json: bool) -> Self {
        Self { json, terminal: std::io::stderr().is_terminal(), progress_at: None, progress_open: false }
    }

    /// Whether the caller wants JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// The one JSON document; nothing without `--json`.
    pub fn document(&mut self, document: &Value) -> Done {
        self.end_progress();
        if self.json {
            let mut out = std::io::stdout().lock();
            serde_json::to_writer_pretty(&mut out, document)
                .map_err(|error| Failure::refused(error.to_string()))?;
            writeln!(out)?;
        }
        Ok(())
    }

    /// A line for people; nothing with `--json`.
    pub fn line(&mut self, text: impl Display) -> Done {
        self.end_progress();
        if !self.json {
            writeln!(std::io::stdout().lock(), "{text}")?;
        }
        Ok(())
    }

    /// Bytes as they are (a message, a log), whether or not `--json`.
    pub fn raw(&mut self, bytes: &[u8]) -> Done {
        self.end_progress();
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// How far long work is, on standard error: one line that changes on a terminal, else a line now and then.
    pub fn progress(&mut self, text: impl Display) {
        let mut err = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to fail.
        if self.terminal {
            let _ = write!(err, "\r\x1b[K{text}");
            let _ = err.flush();
            self.progress_open = true;
        } else if self.progress_at.is_none_or(|at| at.elapsed() >= PROGRESS_PERIOD) {
            let _ = writeln!(err, "{text}");
            self.progress_at = Some(Instant::now());
        }
    }

    /// A remark on standard error.
    pub fn note(&mut self, text: impl Display) {
        self.end_progress();
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Says why a command failed.
    pub fn failure(&mut self, failure: &Failure) {
        match failure {
            Failure::Told => {}
            Failure::Refused { text, document } => {
                // With a broken standard output there is nowhere left to say it.
                let _ = self.document(document);
                self.note(format_args!("mailwright: {text}"));
            }
            Failure::Usage(text) | Failure::Unreached(text) => {
                let _ = self.document(&json!({
                    "code": if failure.status() == 2 { "usage" } else { "unreached" }, "detail": text
                }));
                self.note(format_args!("mailwright: {text}"));
            }
        }
    }

    fn end_progress(&mut self) {
        if self.progress_open {
            let _ = writeln!(std::io::stderr().lock());
            self.progress_open = false;
        }
    }
}

/// A number with thin groups of three, for people: `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table with columns as wide as their widest cell, the first row being the head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["long".into(), "c".into()]];
        assert_eq!(table(&rows), "a     b\nlong  c");
    }
}
