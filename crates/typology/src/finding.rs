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

/// What a stricter typology may make of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nature {
    /// It has the level that the rule, or the typology's choice for the rule, gives it.
    #[default]
    Plain,
    /// A fact could not be had: a warning in every typology, because it says nothing of the delivery.
    Unknown,
    /// These receivers refuse such mail from bulk senders: an error in the typology `bulk`, when the target holds
    /// enough of their addresses.
    RefusedBy(&'static [Receiver]),
}

/// Receivers with published demands on bulk senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// Personal Gmail accounts.
    Google,
    /// Yahoo and AOL.
    Yahoo,
    /// Outlook.com, Hotmail, Live.
    Microsoft,
}

impl Receiver {
    /// All of them.
    pub const ALL: &'static [Receiver] = &[Receiver::Google, Receiver::Yahoo, Receiver::Microsoft];

    /// Its name in the provider table.
    pub fn provider(self) -> &'static str {
        match self {
            Receiver::Google => "google",
            Receiver::Yahoo => "yahoo",
            Receiver::Microsoft => "outlook",
        }
    }

    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Receiver::Google => "Gmail",
            Receiver::Yahoo => "Yahoo",
            Receiver::Microsoft => "Microsoft",
        }
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
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What a stricter typology may make of it; said when it is made, and not kept.
    #[serde(skip)]
    pub nature: Nature,
}

impl Finding {
    /// A finding without a place.
    pub fn new(rule: &str, level: Level, text: impl Into<String>) -> Finding {
        Finding {
            rule: rule.to_owned(),
            level,
            text: text.into(),
            part: None,
            line: None,
            column: None,
            hint: None,
            nature: Nature::Plain,
        }
    }

    /// A warning that something could not be found out.
    pub fn unknown(rule: &str, text: impl Into<String>) -> Finding {
        Finding { nature: Nature::Unknown, ..Finding::new(rule, Level::Warning, text) }
    }

    /// The same finding, which these receivers refuse mail for.
    pub fn refused_by(mut self, receivers: &'static [Receiver]) -> Finding {
        self.nature = Nature::RefusedBy(receivers);
        self
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
