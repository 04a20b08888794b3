//! The minijinja environment: strict, fuelled, escaping by part, with every error at its place.

use std::borrow::Cow;
use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use crate::codes::{self, CodeKey, Place};
use crate::fields::Fields;
use crate::filters;
use crate::marks::{MIRROR, UNSUBSCRIBE, without_marks};
use crate::problem::Problem;
use crate::source::Source;
use crate::tags::{Tag, scan};

/// Work that one evaluation of one part may do: about so many steps, and 64 bytes of text each.
pub const FUEL: u64 = 200_000;
/// Depth of includes and macro calls; small, since an analysis thread's stack is.
const RECURSION_MAX: usize = 40;

/// Names that a recipient's column cannot hide.
pub(crate) const BUILT_IN_NAMES: [&str; 5] = ["unsubscribe_url", "mirror_url", "now", "_phrase", "_greeting"];

/// How a part's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    Html,
    Text,
    Header,
}

/// What all templates of a compile share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Setting {
    /// What `now()` says, microseconds UTC.
    pub now_us: i64,
    /// Base of the addresses of codes.
    pub public_url: String,
    /// Signs them.
    pub code_key: Option<CodeKey>,
}

/// A part's compiled template. Each has its own environment, so that no part can include another.
#[derive(Debug)]
pub(crate) struct PartTemplate {
    environment: Environment<'static>,
    /// What minijinja sees.
    pub source: Source,
    /// For errors, which can come once per recipient.
    tags: OnceLock<Vec<Tag>>,
    variables: OnceLock<Vec<String>>,
}

impl PartTemplate {
    /// Compiles.
    pub fn new(source: Source, escape: Escape, setting: &Setting) -> Result<PartTemplate, Problem> {
        let place = match (escape, source.part) {
            (Escape::Html, "amp") => Place::Amp,
            (Escape::Html, _) => Place::Html,
            _ => Place::Text,
        };
        let mut environment = environment(escape, setting, place);
        let result = environment.add_template_owned(source.part, source.text.clone());
        let (tags, variables) = (OnceLock::new(), OnceLock::new());
        let template = PartTemplate { environment, source, tags, variables };
        match result {
            Ok(()) => Ok(template),
            Err(error) => Err(template.problem(&error)),
        }
    }

    /// Evaluates; the spans tell static text from values.
    pub fn render(&self, fields: &Value) -> Result<(String, Vec<minijinja::OutputSpan>), Problem> {
        let template =
            self.environment.get_template(self.source.part).map_err(|error| self.problem(&error))?;
        template
            .render_with_spans(fields)
            .map_err(|error| self.undefined(&error, fields).unwrap_or_else(|| self.problem(&error)))
    }

    /// Names that the template asks for, sorted.
    pub fn variables(&self) -> &[String] {
        self.variables.get_or_init(|| {
            let template = self.environment.get_template(self.source.part);
            let names = template.map(|template| template.undeclared_variables(false)).unwrap_or_default();
            let is_global = |name: &String| self.environment.globals().any(|(global, _)| global == name);
            let mut names: Vec<String> = names.into_iter().filter(|name| !is_global(name)).collect();
            names.sort();
            names
        })
    }

    fn tags(&self) -> &[Tag] {
        self.tags.get_or_init(|| scan(&self.source.text))
    }

    /// An undefined value is reported by the engine at the operation that met it: `a ~ b` for either of the two. The
    /// author looks for the name: the first one in that tag which this recipient does not have.
    fn undefined(&self, error: &Error, fields: &Value) -> Option<Problem> {
        let root = root_cause(error);
        if root.kind() != ErrorKind::UndefinedError {
            return None;
        }
        let tags = self.tags();
        let offset = self.offset(root, tags);
        let tag = tags.iter().find(|tag| tag.range.contains(&offset))?;
        let asked = self.variables();
        let missing = |name: &str| {
            asked.iter().any(|known| known == name)
                && fields.get_attr(name).is_ok_and(|value| value.is_undefined())
        };
        let (at, name) =
            names(&self.source.text[tag.range.clone()]).into_iter().find(|(_, name)| missing(name))?;
        let (message, hint) = unknown_field(name);
        Some(self.source.problem(tag.range.start + at, message).hint(hint))
    }

    fn problem(&self, error: &Error) -> Problem {
        let root = root_cause(error);
        let tags = self.tags();
        let offset = self.offset(root, tags);
        let (message, hint) = explain(root, &self.source.text, tags, offset);
        self.source.problem(offset, message).hint(hint)
    }

    /// The byte that an error is about.
    fn offset(&self, error: &Error, tags: &[Tag]) -> usize {
        let line_start = |line: usize| {
            let ends = self
                .source
                .text
                .bytes()
                .enumerate()
                .filter(|(_, octet)| *octet == b'\n')
                .map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).nth(line.saturating_sub(1)).unwrap_or(0)
        };
        let offset = match error.range() {
            Some(range) if !range.is_empty() => range.start,
            Some(range) if range.start > 0 => range.start,
            _ => line_start(error.line().unwrap_or(1)),
        };
        if error.kind() != ErrorKind::SyntaxError {
            return offset;
        }
        // A tag without end is reported at the end of the source: the author looks for its beginning.
        if let Some(open) = tags.iter().find(|tag| !tag.closed) {
            return open.range.start;
        }
        if error.detail().is_some_and(|detail| detail.contains("end of input"))
            && let Some(open) = open_block(&self.source.text, tags)
        {
            return open.range.start;
        }
        // Without a range only the line is known: the first tag on it.
        if error.range().is_none()
            && let Some(tag) = tags.iter().find(|tag| tag.range.end > offset)
        {
            return tag.range.start.max(offset);
        }
        offset
    }
}

/// The sentence and the hint for a name that is no field.
fn unknown_field(name: &str) -> (String, String) {
    let example = format!("{{{{ {name} | default('…') }}}}");
    let hint = format!("check the name, or give a default: {example}");
    (format!("`{name}` is not a field of this recipient"), hint)
}

/// Identifiers outside strings, with their offsets; not those behind a dot.
fn names(tag_source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut start: Option<(usize, bool)> = None;
    let mut before = ' ';
    for (at, c) in tag_source.char_indices().chain([(tag_source.len(), ' ')]) {
        let is_name = quote.is_none() && (c.is_alphanumeric() || c == '_');
        if let (Some((from, after_dot)), false) = (start, is_name) {
            if !after_dot {
                found.push((from, &tag_source[from..at]));
            }
            start = None;
        } else if start.is_none() && is_name {
            start = Some((at, before == '.'));
        }
        match quote {
            Some(mark) if c == mark && before != '\\' => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => {}
        }
        before = c;
    }
    found
}

/// The innermost error: an include wraps what happened inside.
fn root_cause(error: &Error) -> &Error {
    let mut root = error;
    while let Some(inner) = std::error::Error::source(root).and_then(|source| source.downcast_ref::<Error>())
    {
        root = inner;
    }
    root
}

/// The last block that was begun and not ended.
fn open_block<'a>(source: &str, tags: &'a [Tag]) -> Option<&'a Tag> {
    let mut open: Vec<&Tag> = Vec::new();
    for tag in tags.iter().filter(|tag| tag.kind == crate::tags::TagKind::Statement) {
        let text = &source[tag.range.clone()];
        match crate::tags::word(text) {
            "if" | "for" | "filter" | "macro" | "call" | "with" | "block" | "autoescape" => open.push(tag),
            "set" if !text.contains('=') => open.push(tag),
            word if word.starts_with("end") => drop(open.pop()),
            _ => {}
        }
    }
    open.pop()
}

/// A sentence and a hint for an error.
fn explain(error: &Error, source: &str, tags: &[Tag], offset: usize) -> (String, String) {
    let detail = error.detail().unwrap_or_default();
    let expression = error.range().and_then(|range| source.get(range)).unwrap_or_default().trim();
    let described = || if detail.is_empty() { error.kind().to_string() } else { detail.to_owned() };
    match error.kind() {
        ErrorKind::UndefinedError => {
            let name = if expression.is_empty() { "this" } else { expression };
            (format!("`{name}` is undefined"), "check the name, or test it with `is defined`".to_owned())
        }
        ErrorKind::OutOfFuel => (
            "the evaluation takes too long".to_owned(),
            "a loop does not end in time, or the template includes itself".to_owned(),
        ),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => (
            described(),
            "only blocks can be included, by their name in quotes: {% include \"footer\" %}".to_owned(),
        ),
        ErrorKind::UnknownFilter => (described(), "see the list of filters in the manual".to_owned()),
        ErrorKind::SyntaxError => {
            let comment =
                tags.iter().any(|tag| tag.range.start == offset && source[offset..].starts_with("{#"));
            let hint = if comment {
                "`{#` begins a comment; in CSS write `{ #`"
            } else {
                "text that is meant to show braces stands between {% raw %} and {% endraw %}"
            };
            (described(), hint.to_owned())
        }
        ErrorKind::InvalidOperation if detail.contains("recursion") => {
            (described(), "the template or a macro calls itself".to_owned())
        }
        _ => (described(), String::new()),
    }
}

fn environment(escape: Escape, setting: &Setting, place: Place) -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build().expect("the default delimiters are valid"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_debug(false);
    environment.set_auto_escape_callback(move |_| match escape {
        Escape::Html => AutoEscape::Html,
        Escape::Text | Escape::Header => AutoEscape::None,
    });
    environment.set_formatter(move |out, state, value| write_value(escape, out, state, value));
    filters::add_to(&mut environment, setting.now_us);
    codes::add_to(&mut environment, place, &setting.public_url, setting.code_key.as_ref());
    environment.add_global("unsubscribe_url", Value::from(UNSUBSCRIBE.to_string()));
    environment.add_global("mirror_url", Value::from(MIRROR.to_string()));
    environment
}

/// Writes a value into its part.
fn write_value(
    escape: Escape,
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "not a field"));
    }
    if value.is_none() {
        return Ok(());
    }
    let text: Cow<'_, str> = match value.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(value.to_string()),
    };
    if text.contains('\0') {
        let detail = "a NUL character (U+0000) cannot be sent";
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    if escape == Escape::Header && text.chars().any(|c| c.is_control() && c != '\t') {
        let detail = "a line break or control character cannot stand in a header";
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    let escaped = matches!(state.auto_escape(), AutoEscape::Html) && !value.is_safe();
    let written = if escaped { write_html(out, &text) } else { out.write_str(&text) };
    written.map_err(Error::from)
}

/// The five characters that HTML needs escaped; `/` is left alone, unlike in minijinja's own, because it does no
/// harm and dates and addresses stay readable in the source.
fn write_html(out: &mut Output<'_>, text: &str) -> std::fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

/// Evaluates one small template that stands in no message, such as a delivery's label or code. `part` names it in a
/// problem; control characters are refused as in a header.
///
/// # Errors
/// The [`Problem`] at its place.
pub fn render_text(
    part: &'static str,
    source: &str,
    fields: &Fields,
    now_us: i64,
) -> Result<String, Problem> {
    let source = Source::new(part, without_marks(source).into_owned());
    let template = PartTemplate::new(source, Escape::Header, &Setting { now_us, ..Setting::default() })?;
    let (text, _) = template.render(&fields.as_value())?;
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Problem::new(part, "a line break or control character cannot stand here"));
    }
    Ok(without_marks(&text).into_owned())
}

/// The names that a template asks for, sorted; none when it does not parse.
pub fn variables_of(source: &str) -> Vec<String> {
    PartTemplate::new(Source::new("text", source.to_owned()), Escape::Text, &Setting::default())
        .map(|template| template.variables().to_vec())
        .unwrap_or_default()
}
