//! A delivery in a folder: `delivery.toml` and its content files, as `mailwright delivery push` sends them.
//!
//! A key that is not known, of the wrong type, or not yet supported is refused with its line.

use std::ops::Range;

use crate::definition::Definition;

/// The file that describes a delivery.
pub const TOML_NAME: &str = "delivery.toml";
/// Largest `delivery.toml`, in bytes.
pub const TOML_LEN_MAX: usize = 1 << 20;

/// Why a definition is refused: the field (dotted path, as in `delivery.toml`), what is wrong with it, and,
/// when it came from a file, where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{field}: {text}", place(.file, .line))]
pub struct Refusal {
    /// Dotted path of the key.
    pub field: String,
    /// What is wrong, and what to do.
    pub text: String,
    /// The file that it stands in; empty: none.
    pub file: String,
    /// Line in that file, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

impl Refusal {
    /// A refusal of one field.
    pub fn new(field: &str, text: impl Into<String>) -> Refusal {
        Refusal { field: field.to_owned(), text: text.into(), file: String::new(), line: None, column: None }
    }

    /// The refusal of a key whose feature comes with a later version.
    pub fn not_yet(field: &str) -> Refusal {
        Refusal::new(field, "is not yet supported by this version; leave it out, or at its default")
    }

    /// The same for a key of an element inside `field`.
    pub fn not_yet_in(field: &str, key: &str) -> Refusal {
        Refusal::new(
            field,
            format!("has an element with `{key}`, which is not yet supported by this version"),
        )
    }
}

fn place(file: &str, line: &Option<u32>) -> String {
    match line {
        Some(line) if !file.is_empty() => format!("{file} line {line}: "),
        _ => String::new(),
    }
}

/// Reads and checks a `delivery.toml` that stands for itself.
pub fn parse(toml: &str) -> Result<Definition, Refusal> {
    parse_over(toml, None)
}

/// Reads and checks `delivery.toml`; a delivery template lies under it, and gives what the file does not say.
pub fn parse_over(toml: &str, template: Option<&Definition>) -> Result<Definition, Refusal> {
    let own = read(toml)?;
    let definition = match template {
        None => own,
        Some(template) => merged(toml, template)?,
    };
    definition.check().map_err(|refusal| located(toml, refusal))?;
    for (field, missing) in
        [("subject", definition.subject.is_empty()), ("target", definition.target.include.is_empty())]
    {
        if missing {
            return Err(Refusal::new(
                field,
                "is missing: delivery.toml needs label, subject, [sender] and [target]",
            ));
        }
    }
    Ok(definition)
}

/// Reads the `delivery.toml` of a template, which may leave out whatever a delivery adds.
pub fn parse_template(toml: &str) -> Result<Definition, Refusal> {
    let definition = read(toml)?;
    definition.check().map_err(|refusal| located(toml, refusal))?;
    Ok(definition)
}

/// The name after `template =`, when the file can be read at all.
pub fn template_name(toml: &str) -> Result<String, Refusal> {
    Ok(read(toml)?.template.trim().to_owned())
}

fn read(toml: &str) -> Result<Definition, Refusal> {
    if toml.len() > TOML_LEN_MAX {
        return Err(Refusal::new(TOML_NAME, format!("is larger than {TOML_LEN_MAX} bytes")));
    }
    toml::from_str(toml).map_err(|error| syntax(toml, &error))
}

fn merged(toml: &str, template: &Definition) -> Result<Definition, Refusal> {
    let own: serde_json::Value = toml::from_str(toml).map_err(|error| syntax(toml, &error))?;
    over_template(template, own)
}

/// What `own` says, over what the template says: tables are merged key by key, all else is replaced.
pub fn over_template(template: &Definition, own: serde_json::Value) -> Result<Definition, Refusal> {
    let broken = |error: serde_json::Error| Refusal::new("template", format!("cannot be read: {error}"));
    let mut base = serde_json::to_value(template).map_err(broken)?;
    lay_over(&mut base, own);
    serde_json::from_value(base).map_err(broken)
}

fn lay_over(base: &mut serde_json::Value, own: serde_json::Value) {
    use serde_json::Value::Object;
    match (base, own) {
        (Object(base), Object(own)) => {
            for (key, value) in own {
                lay_over(base.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (base, own) => *base = own,
    }
}

fn syntax(toml: &str, error: &toml::de::Error) -> Refusal {
    let (line, column) = error.span().map(|Range { start, .. }| position(toml, start)).unwrap_or((1, 1));
    Refusal {
        field: "delivery.toml".into(),
        text: error.message().to_owned(),
        file: TOML_NAME.into(),
        line: Some(line),
        column: Some(column),
    }
}

fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line as u32, column as u32)
}

/// Finds the line where a refused key stands, unless it is known already: `[section]` then `key =`, or the section
/// itself.
pub(crate) fn located(toml: &str, mut refusal: Refusal) -> Refusal {
    if refusal.line.is_some() {
        return refusal;
    }
    let (section, key) = refusal.field.rsplit_once('.').unwrap_or(("", &refusal.field));
    let mut current = String::new();
    let mut fallback = None;
    for (index, raw) in toml.lines().enumerate() {
        let line = raw.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            current = name.trim().trim_matches('[').to_owned();
            if current == refusal.field || (key == refusal.field && current == key) {
                fallback = fallback.or(Some(index));
            }
            continue;
        }
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim();
        if (current == section && name == key) || (current.is_empty() && name == refusal.field) {
            fallback = Some(index);
            break;
        }
        if current.is_empty() && name == section {
            fallback = fallback.or(Some(index));
        }
    }
    refusal.line = fallback.map(|index| index as u32 + 1);
    refusal.column = refusal.line.map(|_| 1);
    if refusal.line.is_some() {
        refusal.file = TOML_NAME.into();
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "label = \"October\"\nsubject = \"Hello\"\n\n[sender]\naddress = \"news@shop.example\"\n\n[target]\ninclude = [{ list = \"newsletter\" }]\n";

    #[test]
    fn the_four_needed_things_are_enough() {
        let definition = parse(SMALL).unwrap();
        assert_eq!(definition.sender.address, "news@shop.example");
        assert_eq!(definition.target.include[0].list.as_deref(), Some("newsletter"));
        assert_eq!(definition.parameters.retries, 5);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let refusal = parse(&format!("{SMALL}limmit = 3\n")).unwrap_err();
        assert_eq!(refusal.line, Some(9));
        assert!(refusal.text.contains("limmit"), "{}", refusal.text);
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_line() {
        let refusal = parse(&format!("{SMALL}\n[parameters]\nretries = 3\npool = \"Fast!\"\n")).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.line), ("parameters.pool", Some(12)));
        let refusal = parse(&format!("{SMALL}\n[waves]\nperiod = \"1d\"\nsize = \"125%\"\n")).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.line), ("waves.size", Some(12)));
    }

    #[test]
    fn a_value_that_is_wrong_is_refused_with_its_line() {
        let refusal = parse(&format!(
            "{SMALL}\n[tracking]\nlinks = [{{ url = \"https://a.example/\", mode = \"x\" }}]\n"
        ))
        .unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.line), ("tracking.links", Some(11)));
        let refusal =
            parse(&format!("{SMALL}\n[content]\nattachments = [{{ name = \"x.pdf\" }}]\n")).unwrap_err();
        assert_eq!((refusal.line, refusal.file.as_str()), (Some(11), TOML_NAME), "{refusal}");
        assert!(refusal.text.contains("file"), "{}", refusal.text);
    }

    #[test]
    fn a_template_lies_under_the_file() {
        let mut template = Definition::new("Newsletter");
        template.subject = "From the template".into();
        template.parameters.retries = 9;
        template.parameters.headers.insert("X-A".into(), "1".into());
        template.tracking.opens = false;
        let own = "label = \"October\"\ntemplate = \"Newsletter\"\n[parameters]\nretry_period = \"2h\"\n\
                   headers = { X-B = \"2\" }\n[target]\ninclude = [{ list = \"a\" }]\n";
        let definition = parse_over(own, Some(&template)).unwrap();
        assert_eq!(
            (definition.label.as_str(), definition.subject.as_str()),
            ("October", "From the template")
        );
        assert_eq!((definition.parameters.retries, definition.parameters.retry_period.as_str()), (9, "2h"));
        assert_eq!(definition.parameters.headers.len(), 2);
        assert!(!definition.tracking.opens);
        assert_eq!(template_name(own).unwrap(), "Newsletter");
    }

    #[test]
    fn a_missing_subject_is_named() {
        let refusal = parse("label = \"x\"\n[sender]\n[target]\ninclude = [{ list = \"a\" }]\n").unwrap_err();
        assert_eq!(refusal.field, "subject");
    }

    #[test]
    fn every_key_of_the_published_format_is_known() {
        let full = include_str!("../testdata/full.toml");
        let definition: Definition = toml::from_str(full).unwrap();
        assert_eq!(definition.code, "OCT26");
        assert_eq!(definition.target.include.len(), 5);
    }
}
