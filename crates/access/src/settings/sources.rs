//! Where values come from: the file, the environment, the database; which wins; and what is refused at start.

use super::kind::Parsed;
use super::registry::{Place, REGISTRY, Setting, find, variable};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value comes from, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A `MAILWRIGHT_…` variable.
    Environment,
    /// The configuration file.
    File,
    /// Made on the web.
    Database,
    /// Built in.
    Default,
}

impl Origin {
    /// A word for pages and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Database => "database",
            Origin::Default => "default",
        }
    }
}

/// Variables that belong to the command line, not to the settings.
const COMMAND_LINE: [&str; 7] = ["URL", "DATA", "TOKEN", "CONFIG", "LOG", "TEST_POSTGRES", "TEST"];
/// Largest configuration file, in octets.
pub const FILE_LEN_MAX: usize = 256 * 1024;
/// Deepest table in it.
const DEPTH_MAX: usize = 8;

/// What the file and the environment say, checked. Fixed while the program runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fixed {
    file: BTreeMap<&'static str, String>,
    environment: BTreeMap<&'static str, String>,
}

/// One value with its place of origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    pub(super) text: String,
    pub(super) origin: Origin,
    /// None: not set, no default.
    pub(super) parsed: Option<Parsed>,
}

impl Fixed {
    /// Reads the text of the configuration file (TOML; none: there is no file) and the `MAILWRIGHT_` variables of
    /// `environment`. A variable that no setting has is not refused, but named in the log.
    ///
    /// # Errors
    /// [`Error::Setting`] names the line or the variable.
    pub fn read(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Fixed> {
        let mut fixed = Fixed::default();
        if let Some(text) = file {
            fixed.read_file(text)?;
        }
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix("MAILWRIGHT_") else { continue };
            match REGISTRY.iter().find(|setting| variable(setting.key) == name) {
                Some(setting) => {
                    check(setting, &value, &name)?;
                    fixed.environment.insert(setting.key, value.trim().to_string());
                }
                None if COMMAND_LINE.iter().any(|word| rest == *word || rest.starts_with("TEST_")) => {}
                None => tracing::warn!(variable = %name, "no setting has this name"),
            }
        }
        Ok(fixed)
    }

    fn read_file(&mut self, text: &str) -> Result<()> {
        if text.len() > FILE_LEN_MAX {
            return Err(Error::Setting(format!(
                "the configuration file is larger than {FILE_LEN_MAX} octets"
            )));
        }
        let table = DeTable::parse(text).map_err(|error| {
            let place = error.span().map(|span| line(text, span.start)).unwrap_or_default();
            Error::Setting(format!("configuration file, {place}{}", error.message()))
        })?;
        let mut found = Vec::new();
        flatten(table.get_ref(), String::new(), 0, &mut found)
            .map_err(|(at, why)| Error::Setting(format!("configuration file, {}{why}", line(text, at))))?;
        for (key, at, value) in found {
            let place = format!("configuration file, {}{key}", line(text, at));
            let Some(setting) = find(&key) else {
                return Err(Error::Setting(format!("{place}: there is no such setting")));
            };
            check(setting, &value, &place)?;
            self.file.insert(setting.key, value);
        }
        Ok(())
    }

    /// The origin that keeps `key` from being set on the web.
    pub(crate) fn pinned(&self, key: &str) -> Option<Origin> {
        match (self.environment.contains_key(key), self.file.contains_key(key)) {
            (true, _) => Some(Origin::Environment),
            (_, true) => Some(Origin::File),
            _ => None,
        }
    }

    /// The value in force, given what the database has.
    pub(super) fn resolve(&self, setting: &Setting, stored: Option<&String>) -> Resolved {
        let key = setting.key;
        let places = [
            (Origin::Environment, self.environment.get(key)),
            (Origin::File, self.file.get(key)),
            (Origin::Database, stored),
        ];
        for (origin, text) in places {
            let Some(text) = text else { continue };
            // Set to nothing: as if it were not set, but over what stands behind it.
            if text.is_empty() {
                return Resolved { text: String::new(), origin, parsed: None };
            }
            match setting.kind.parse(text) {
                Ok(parsed) => return Resolved { text: text.clone(), origin, parsed: Some(parsed) },
                // Stored by another version; file and environment were checked at start.
                Err(why) => tracing::warn!(key, %why, "a stored setting is no longer valid and is left out"),
            }
        }
        let parsed = if setting.default.is_empty() { None } else { setting.kind.parse(setting.default).ok() };
        Resolved { text: setting.default.to_string(), origin: Origin::Default, parsed }
    }
}

/// Refuses a value that its kind does not allow; `place` names where it stands.
pub(crate) fn check(setting: &Setting, value: &str, place: &str) -> Result<()> {
    if setting.place == Place::Later && !value.trim().is_empty() {
        return Err(Error::Setting(format!("{place}: {} is not yet supported", setting.key)));
    }
    if value.trim().is_empty() {
        return Ok(());
    }
    setting.kind.parse(value).map(|_| ()).map_err(|why| Error::Setting(format!("{place}: {why}")))
}

fn flatten(
    table: &DeTable<'_>,
    prefix: String,
    depth: usize,
    found: &mut Vec<(String, usize, String)>,
) -> Result<(), (usize, String)> {
    for (name, value) in table.iter() {
        let at = name.span().start;
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(_) if depth >= DEPTH_MAX => return Err((at, format!("{key}: nested too deep"))),
            DeValue::Table(inner) => flatten(inner, key, depth + 1, found)?,
            DeValue::Array(items) => {
                let items: Result<Vec<String>, _> = items.iter().map(|item| scalar(item, &key)).collect();
                found.push((key, at, items?.join(", ")));
            }
            _ => {
                let text = scalar(value, &key)?;
                found.push((key, at, text));
            }
        }
    }
    Ok(())
}

fn scalar(value: &Spanned<DeValue<'_>>, key: &str) -> Result<String, (usize, String)> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.as_str().to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        _ => Err((value.span().start, format!("{key}: expected a text, a whole number, or a list of texts"))),
    }
}

fn line(text: &str, at: usize) -> String {
    let before = text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count();
    format!("line {}: ", before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Fixed> {
        Fixed::read(Some(file), environment.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    fn value(fixed: &Fixed, key: &str, stored: Option<&str>) -> (String, Origin) {
        let stored = stored.map(str::to_string);
        let resolved = fixed.resolve(find(key).unwrap(), stored.as_ref());
        (resolved.text, resolved.origin)
    }

    #[test]
    fn the_order_is_environment_file_database_default() {
        let file = "public_url = \"https://file.example\"\n[mta]\nport = 2525\nnameservers = [\"127.0.0.1:5353\", \"::1\"]\n[mta.retry]\nperiod = \"2h\"\n";
        let fixed =
            read(file, &[("MAILWRIGHT_MTA__RETRY__PERIOD", "3h"), ("MAILWRIGHT_URL", "x"), ("HOME", "/")])
                .unwrap();
        assert_eq!(value(&fixed, "mta.retry.period", Some("4h")), ("3h".into(), Origin::Environment));
        assert_eq!(value(&fixed, "mta.port", Some("26")), ("2525".into(), Origin::File));
        assert_eq!(value(&fixed, "mta.nameservers", None), ("127.0.0.1:5353, ::1".into(), Origin::File));
        assert_eq!(value(&fixed, "mta.retry.first_day", Some("7")), ("7".into(), Origin::Database));
        assert_eq!(value(&fixed, "mta.retry.first_day", Some("many")), ("5".into(), Origin::Default));
        assert_eq!(value(&fixed, "delivery.validity", None), ("5d".into(), Origin::Default));
        assert_eq!(fixed.pinned("mta.port"), Some(Origin::File));
        assert_eq!(fixed.pinned("net.allow"), None);
    }

    #[test]
    fn mistakes_name_their_line() {
        for (file, wanted) in [
            ("\n\nmta.prot = 25", "line 3: mta.prot: there is no such setting"),
            ("[mta]\nport = 0", "line 2: mta.port: expected a whole number"),
            ("mta = 5", "line 1: mta: there is no such setting"),
            ("[mta]\nport = 1.5", "line 2: mta.port: expected a text"),
            ("x = [", "line 1:"),
            ("feedback.listen = \"0.0.0.0:25\"", "not yet supported"),
        ] {
            let error = read(file, &[]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let error = read("", &[("MAILWRIGHT_MTA__PORT", "zero")]).unwrap_err().to_string();
        assert!(error.contains("MAILWRIGHT_MTA__PORT"), "{error}");
    }

    #[test]
    fn an_empty_variable_covers_the_file() {
        let fixed = read("[mta]\nrelay = \"smtp://h\"", &[("MAILWRIGHT_MTA__RELAY", "")]).unwrap();
        assert_eq!(value(&fixed, "mta.relay", None), (String::new(), Origin::Environment));
    }
}
