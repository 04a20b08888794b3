//! MJML to HTML, by mrml. Nothing is included from files or from the network.
//!
//! Template tags are hidden from it. One that stands where MJML allows no text, `{% for %}` around columns for one, is
//! wrapped in `<mj-raw>`, as MJML's own manual says to do by hand.

use mrml::prelude::parser::{Error as ParseError, ParserOptions, Span, WarningKind};
use mrml::prelude::render::RenderOptions;

use crate::problem::Problem;
use crate::source::{Edit, Source};
use crate::tags::Hidden;
use crate::text_part::depth;

/// Largest MJML source. The HTML is several times as large, and Gmail cuts that at 102 KB.
const SIZE_MAX: usize = 1024 * 1024;
/// Elements inside each other: mrml calls itself for each.
const DEPTH_MAX: usize = 200;
/// Warnings that the author is told.
const WARNINGS_MAX: usize = 20;
/// Elements whose content is text and HTML, not MJML.
const HOLD_TEXT: [&str; 12] = [
    "mj-text",
    "mj-button",
    "mj-table",
    "mj-raw",
    "mj-style",
    "mj-title",
    "mj-preview",
    "mj-navbar-link",
    "mj-social-element",
    "mj-accordion-title",
    "mj-accordion-text",
    "mj-font",
];

/// Every element of MJML; mrml takes others for HTML and lets them pass.
const ELEMENTS: [&str; 36] = [
    "mjml",
    "mj-head",
    "mj-body",
    "mj-accordion",
    "mj-accordion-element",
    "mj-accordion-text",
    "mj-accordion-title",
    "mj-all",
    "mj-attributes",
    "mj-breakpoint",
    "mj-button",
    "mj-carousel",
    "mj-carousel-image",
    "mj-class",
    "mj-column",
    "mj-divider",
    "mj-font",
    "mj-group",
    "mj-hero",
    "mj-image",
    "mj-include",
    "mj-navbar",
    "mj-navbar-link",
    "mj-preview",
    "mj-raw",
    "mj-section",
    "mj-social",
    "mj-social-element",
    "mj-spacer",
    "mj-style",
    "mj-table",
    "mj-text",
    "mj-title",
    "mj-wrapper",
    "mj-html-attributes",
    "mj-selector",
];

/// Renders. `inlines_css` says whether the delivery's CSS inlining follows, which does what `<mj-style inline>` asks.
///
/// # Errors
/// What is wrong, at its place in the MJML.
pub(crate) fn render(
    source: &Source,
    inlines_css: bool,
    warnings: &mut Vec<Problem>,
) -> Result<Source, Vec<Problem>> {
    let whole = |message: String| vec![Problem::new(source.part, message)];
    if source.text.len() > SIZE_MAX {
        return Err(whole(format!("larger than {} MB", SIZE_MAX >> 20)));
    }
    let wrapped = with_raw_tags(source).ok_or_else(|| whole("there are too many template tags".into()))?;
    let hidden =
        Hidden::new(&wrapped.text).ok_or_else(|| whole("there are too many template tags".into()))?;
    if depth(&hidden.text) > DEPTH_MAX {
        return Err(whole(format!("elements are nested more than {DEPTH_MAX} deep")));
    }
    let place = |offset: usize, message: &str| wrapped.problem(hidden.source_offset(offset), message);
    let unknown = unknown_elements(&hidden.text);
    if !unknown.is_empty() {
        let problem = |(at, name): (usize, &str)| place(at, &format!("there is no element `{name}`"));
        return Err(unknown.into_iter().take(WARNINGS_MAX).map(problem).collect());
    }
    if let Some(at) = broken_condition(&hidden.text) {
        let problem = place(at, "this conditional comment is not whole");
        return Err(vec![problem.hint("write <!--[if mso]> … <![endif]-->")]);
    }
    let parsed = mrml::parse_with_options(&hidden.text, &ParserOptions::default())
        .map_err(|error| vec![problem(&hidden.text, &error, &place)])?;
    for warning in parsed.warnings.iter().take(WARNINGS_MAX) {
        let written = written(&hidden.text, &warning.span);
        let message = match warning.kind {
            WarningKind::UnexpectedAttribute => format!("this element has no attribute `{written}`"),
            WarningKind::InlineStyleUnsupported if inlines_css => continue,
            WarningKind::InlineStyleUnsupported => {
                "<mj-style inline> needs the delivery's CSS inlining, which is off".to_owned()
            }
        };
        warnings.push(place(warning.span.start, &message));
    }
    let html = parsed
        .element
        .render(&RenderOptions::default())
        .map_err(|error| whole(format!("this MJML cannot be rendered: {error}")))?;
    Ok(wrapped.carried(&hidden, &without_escapes(&html)))
}

/// mrml writes attributes as Rust writes strings for a programmer: a quote as `\"`, and what it takes for unprintable,
/// our hidden tags among it, as `\u{f0000}`. In HTML these are no characters.
fn without_escapes(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('\\') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let coded = after.strip_prefix("\\u{").and_then(|coded| coded.split_once('}'));
        let found = coded.and_then(|(hex, _)| char::from_u32(u32::from_str_radix(hex, 16).ok()?));
        rest = match (found, coded) {
            (Some(c), Some((_, left))) => {
                out.push(c);
                left
            }
            _ if after.starts_with("\\\"") => {
                out.push_str("&quot;");
                &after[2..]
            }
            _ => {
                out.push('\\');
                &after[1..]
            }
        };
    }
    out.push_str(rest);
    out
}

/// Where the first conditional comment stands that htmlparser, which mrml reads with, would panic at: one whose
/// condition has no end, or something else behind it.
fn broken_condition(text: &str) -> Option<usize> {
    const STARTS: [&str; 3] = ["[if", "![if", "![endif"];
    text.match_indices('<').map(|(at, _)| at).find(|at| {
        let rest = &text[at + 1..];
        let inner =
            rest.strip_prefix("!--").map(|rest| rest.strip_prefix('<').unwrap_or(rest)).unwrap_or(rest);
        let is_condition = STARTS.iter().any(|start| inner.starts_with(start));
        let ends = |(condition, after): (&str, &str)| {
            (after.starts_with('>') || after.starts_with("-->"))
                && (condition == "![endif" || !condition.starts_with("![endif"))
        };
        is_condition && !inner.split_once(']').is_some_and(ends)
    })
}

/// Where elements begin whose names start as MJML's do and are none of them.
fn unknown_elements(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("<mj") {
        let name = &text[at + 1..];
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(name.len());
        if !ELEMENTS.contains(&&name[..end]) {
            found.push((at, &name[..end]));
        }
    }
    found
}

/// Wraps tags that stand between MJML elements.
fn with_raw_tags(source: &Source) -> Option<Source> {
    let hidden = Hidden::new(&source.text)?;
    let mut edits = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let text = &hidden.text;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            at += 4 + comment.find("-->").map_or(comment.len(), |end| end + 3);
        } else if rest.starts_with('<') {
            let end = rest.find('>').map_or(rest.len(), |end| end + 1);
            element(&rest[..end], &mut open);
            at += end;
        } else {
            let c = rest.chars().next()?;
            let is_structure =
                open.last().is_some_and(|name| !HOLD_TEXT.contains(&name.as_str())) && !open.is_empty();
            if let (Some(tag), true) = (hidden.tag(c), is_structure) {
                edits.push(Edit::text(tag.range.start..tag.range.start, "<mj-raw>"));
                edits.push(Edit::text(tag.range.end..tag.range.end, "</mj-raw>"));
            }
            at += c.len_utf8();
        }
    }
    Some(source.edited(edits))
}

/// Follows one `<…>`; inside an element that holds text, only its own end counts.
fn element(tag: &str, open: &mut Vec<String>) {
    let name = tag.trim_start_matches(['<', '/']);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(name.len());
    let name = &name[..end];
    if !name.starts_with("mj") {
        return;
    }
    let holds_text = open.last().is_some_and(|last| HOLD_TEXT.contains(&last.as_str()));
    if tag.starts_with("</") {
        if let Some(at) = open.iter().rposition(|known| known == name) {
            open.truncate(at);
        }
    } else if !holds_text && !tag.ends_with("/>") {
        open.push(name.to_owned());
    }
}

fn problem(text: &str, error: &ParseError, place: &impl Fn(usize, &str) -> Problem) -> Problem {
    let at = |span: &Span, message: &str| place(span.start, message);
    match error {
        ParseError::UnexpectedElement { position, .. } => {
            let name = written(text, position);
            at(position, &format!("the element `{name}` cannot stand here")).hint(
                "MJML stands as mj-body, mj-section, mj-column, and in it mj-text, mj-image, mj-button …",
            )
        }
        ParseError::UnexpectedToken { position, .. } => {
            let written = written(text, position);
            at(position, &format!("`{written}` cannot stand here")).hint("an element may not be closed")
        }
        ParseError::MissingAttribute { name, position, .. } => {
            at(position, &format!("the attribute `{name}` is missing"))
        }
        ParseError::InvalidAttribute { position, .. } => at(position, "this attribute cannot be read"),
        ParseError::InvalidFormat { position, .. } => at(position, "this cannot be read"),
        ParseError::IncludeLoaderError { position, .. } => at(position, "mj-include cannot be used here")
            .hint("make a reusable block, and write {% include \"name\" %}"),
        ParseError::EndOfStream { .. } => {
            place(text.len(), "the MJML ends too early").hint("an element is not closed")
        }
        ParseError::ParserError { source, .. } => {
            let pos = source.pos();
            let offset = offset_of(text, pos.row as usize, pos.col as usize);
            place(offset, "this is no MJML").hint("a tag is not closed, or a quote or an = is missing")
        }
        ParseError::NoRootNode => place(0, "there is no <mjml> element"),
        ParseError::SizeLimit { .. } => place(0, "the MJML is too large"),
    }
}

/// What stands at a place, short enough for a message.
fn written(text: &str, span: &Span) -> String {
    let found = text.get(span.start..span.end.min(text.len())).unwrap_or_default();
    let name = found.trim_matches(['<', '/', '>', ' ', '\n']);
    let name = name.split(['=', ' ', '\n', '>']).next().unwrap_or_default();
    name.chars().take(40).collect()
}

/// The byte of a row and a column that count from 1, columns in characters.
fn offset_of(text: &str, row: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(row.saturating_sub(1)).map(str::len).sum();
    let line = &text[line_start.min(text.len())..];
    line_start + line.char_indices().nth(column.saturating_sub(1)).map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(mjml: &str) -> Result<(String, Vec<Problem>), Problem> {
        let mut warnings = Vec::new();
        let source = Source::new("mjml", mjml.to_owned());
        match render(&source, true, &mut warnings) {
            Ok(html) => Ok((html.text, warnings)),
            Err(problems) => Err(problems.into_iter().next().unwrap()),
        }
    }

    const ONE: &str = "<mjml><mj-body>\n<mj-section>{% if a %}<mj-column width=\"{{ w }}px\">\n{% for b in c %}\n\
                       <mj-text>Hi {{ name }}{% if d %}!{% endif %}</mj-text>{% endfor %}\n</mj-column>{% endif %}</mj-section></mj-body></mjml>";

    #[test]
    fn attributes_come_out_as_they_went_in() {
        let button = "<mjml><mj-body><mj-section><mj-column><mj-button font-family='\"Arial\"' href=\"https://a.example/{{ x }}?a=1&amp;b=\u{200b}é\">Go</mj-button></mj-column></mj-section></mj-body></mjml>";
        let (html, _) = rendered(button).unwrap();
        assert!(
            html.contains("href=\"https://a.example/{{ x }}?a=1&") && html.contains("\u{200b}é\""),
            "{html}"
        );
        assert!(!html.contains('\\'), "{html}");
    }

    #[test]
    fn tags_come_back_in_their_order() {
        let (html, warnings) = rendered(ONE).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let mut at = 0;
        for tag in [
            "{% if a %}",
            "{% for b in c %}",
            "Hi {{ name }}{% if d %}!{% endif %}",
            "{% endfor %}",
            "{% endif %}",
        ] {
            at += html[at..].find(tag).unwrap_or_else(|| panic!("{tag} in {html}")) + tag.len();
        }
        assert!(!html.contains("mj-raw"), "{html}");
    }

    #[test]
    fn places_come_back() {
        let source = Source::new("mjml", ONE.to_owned());
        let html = render(&source, true, &mut Vec::new()).unwrap();
        let (part, place, _) = html.place(html.text.find("name }}").unwrap());
        assert_eq!((part, place.line), ("mjml", 4));
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (mjml, line, message) in [
            ("<mjml>\n<mj-body>\n<mj-txt>x</mj-txt></mj-body></mjml>", 3, "no element `mj-txt`"),
            ("<mjml>\n<mj-body>\n<mj-section a=></mj-section></mj-body></mjml>", 3, "no MJML"),
            ("<mjml>\n<mj-body><mj-section>", 2, "ends too early"),
            ("<mjml>\n<mj-body><mj-include path=\"/etc/passwd\" /></mj-body></mjml>", 2, "mj-include"),
            ("<p>\n<![if--", 2, "comment is not whole"),
            ("<mjml>\n<mj-body><!--[if mso", 2, "comment is not whole"),
            ("<mjml>\n<mj-body><!--[if mso]x--></mj-body></mjml>", 2, "comment is not whole"),
            ("<mjml>\n<mj-body><![endif x]></mj-body></mjml>", 2, "comment is not whole"),
            ("<mjml>\n<mj-body><!--<![endif", 2, "comment is not whole"),
            ("<p>x</p>", 1, ""),
            ("", 1, ""),
        ] {
            let problem = rendered(mjml).unwrap_err();
            assert_eq!(problem.line, line, "{mjml}: {problem}");
            assert!(problem.message.contains(message), "{mjml}: {problem}");
        }
        let (_, warnings) =
            rendered("<mjml><mj-head>\n<mj-style colour=\"red\" /></mj-head><mj-body /></mjml>").unwrap();
        assert_eq!(warnings[0].message, "this element has no attribute `colour`");
        assert_eq!(warnings[0].line, 2);
    }

    #[test]
    fn conditional_comments_stay() {
        let raw = "<!--[if mso]><i>a</i><![endif]--><!--[if !mso]><!--><b>b</b><!--<![endif]-->";
        let body = format!("<mjml><mj-body><mj-raw>{raw}</mj-raw></mj-body></mjml>");
        let (html, _) = rendered(&body).unwrap();
        assert!(
            html.contains("<i>a</i>") && html.contains("<b>b</b>") && html.contains("[if mso]"),
            "{html}"
        );
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let deep = format!("<mjml><mj-body>{}", "<mj-wrapper>".repeat(10_000));
        assert!(rendered(&deep).unwrap_err().message.contains("nested"));
        let text = format!("<mjml><mj-body><mj-section><mj-column><mj-text>{}", "<b>".repeat(10_000));
        assert!(rendered(&text).unwrap_err().message.contains("nested"));
        assert!(rendered(&"x".repeat(SIZE_MAX + 1)).unwrap_err().message.contains("1 MB"));
    }
}
