//! What a rule says.

use serde::{Deserialize, Serialize};

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Should be looked at; the delivery can be sent.
    Warning,
    /// Forbids Confirm.
    Error,
}

impl Level {
    /// The name in JSON and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Level> {
        [Level::Info, Level::Warning, Level::Error].into_iter().find(|level| level.as_str() == name)
    }
}

/// One finding. `line` and `column` count from 1 in the source of `part`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the rule.
    pub rule: String,
    /// How serious.
    pub level: Level,
    /// What is wrong, and what to do.
    pub text: String,
    /// subject, sender, html, text …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Line in the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Finding {
    /// A finding without a place.
    pub fn new(rule: &str, level: Level, text: impl Into<String>) -> Finding {
        Finding { rule: rule.to_owned(), level, text: text.into(), part: None, line: None, column: None }
    }

    /// The same finding in a part.
    pub fn in_part(mut self, part: &str) -> Finding {
        self.part = Some(part.to_owned());
        self
    }

    /// The same finding at a place of its part.
    pub fn at(mut self, line: u32, column: u32) -> Finding {
        self.line = Some(line);
        self.column = Some(column);
        self
    }
}
