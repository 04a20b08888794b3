//! CSS rules copied to the elements that they match, because many mail programs read no `<style>`.
//!
//! css-inline parses, matches and cascades; what it answers is put into the author's own source as edits of `style`
//! attributes. So nothing else of that source changes: no table is mended, no template tag moves, and every byte still
//! knows its line. Rules that were copied leave `<style>`; media queries, `:hover` and what matched nothing stay.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use css_inline::{CSSInliner, InlineOptions};
use lol_html::{RewriteStrSettings, element, rewrite_str, text};

use crate::problem::Problem;
use crate::source::{Bit, Edit, Source};
use crate::tags::{Hidden, TagKind};
use crate::text_part::depth;

/// Largest HTML whose CSS is inlined. Gmail cuts a message at a tenth of it.
const HTML_SIZE_MAX: usize = 1024 * 1024;
/// Elements inside each other: matching walks up from each element.
const DEPTH_MAX: usize = 400;
/// Elements times rules: each is tried on each.
const WORK_MAX: usize = 4_000_000;
/// The attribute that numbers elements on their way through css-inline.
const NUMBER: &str = "data-mw-number";

/// Copies CSS rules to elements.
///
/// # Errors
/// What to tell the author when nothing could be inlined; the source then stays as it is.
pub(crate) fn inline(source: &Source) -> Result<Source, Problem> {
    let warn = |message: &str| Problem::new(source.part, format!("the CSS was not inlined: {message}"));
    if find_style(&source.text).is_none() {
        return Ok(source.clone());
    }
    if source.text.len() > HTML_SIZE_MAX {
        return Err(warn(&format!("the HTML is larger than {} MB", HTML_SIZE_MAX >> 20)));
    }
    let Some(hidden) = Hidden::new(&source.text) else {
        return Err(warn("there are too many template tags"));
    };
    if depth(&hidden.text) > DEPTH_MAX {
        return Err(warn(&format!("elements are nested more than {DEPTH_MAX} deep")));
    }
    let elements = elements(&hidden.text).ok_or_else(|| warn("the HTML cannot be read"))?;
    let rules = elements.iter().filter_map(|element| element.css.clone());
    let rules: usize = rules.map(|css| hidden.text[css].matches('{').count()).sum();
    if rules.saturating_mul(elements.len()) > WORK_MAX {
        return Err(warn("there are too many rules for so many elements"));
    }
    if rules == 0 {
        return Ok(source.clone());
    }
    let output =
        inliner().inline(&numbered(&hidden.text, &elements)).map_err(|error| warn(&error.to_string()))?;
    let made = made(&output).ok_or_else(|| warn("the result cannot be read"))?;
    let edits = elements.iter().enumerate().filter_map(|(number, element)| {
        let made = made.get(&number)?;
        match &element.css {
            Some(css) => css_edit(&hidden, css, made),
            None => style_edit(&hidden, element, made),
        }
    });
    Ok(source.edited(edits.collect()))
}

fn inliner() -> CSSInliner<'static> {
    CSSInliner::new(InlineOptions {
        keep_style_tags: true,
        keep_link_tags: true,
        keep_at_rules: true,
        remove_inlined_selectors: true,
        load_remote_stylesheets: false,
        ..InlineOptions::default()
    })
}

/// An element of the source whose tags are hidden.
#[derive(Debug, Default)]
struct Element {
    /// Behind its name, where an attribute can be put in.
    name_end: usize,
    /// The whole `style` attribute.
    style: Option<Range<usize>>,
    /// The text of a `<style>` element.
    css: Option<Range<usize>>,
}

fn find_style(html: &str) -> Option<usize> {
    html.as_bytes().windows(6).position(|window| window.eq_ignore_ascii_case(b"<style"))
}

fn elements(html: &str) -> Option<Vec<Element>> {
    let found: RefCell<Vec<Element>> = RefCell::default();
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("*", |tag| {
            let name_end = tag.source_location().bytes().start + 1 + tag.tag_name().len();
            let style = tag.attributes().iter().find(|attribute| attribute.name() == "style");
            let style = style.and_then(|style| {
                let name = style.name_source_location()?.bytes();
                let value = style.value_source_location()?.bytes();
                let quoted = html[..value.start].ends_with(['"', '\'']);
                Some(name.start..value.end + usize::from(quoted))
            });
            let css = (tag.tag_name() == "style").then_some(0..0);
            found.borrow_mut().push(Element { name_end, style, css });
            Ok(())
        }))
        .append_element_content_handler(text!("style", |chunk| {
            let range = chunk.source_location().bytes();
            if let Some(css) = found.borrow_mut().last_mut().and_then(|element| element.css.as_mut()) {
                *css = if css.start == css.end { range } else { css.start..range.end.max(css.end) };
            }
            Ok(())
        }));
    rewrite_str(html, settings).ok()?;
    Some(found.into_inner())
}

/// The HTML with a number in each element.
fn numbered(html: &str, elements: &[Element]) -> String {
    let mut out = String::with_capacity(html.len() + elements.len() * 24);
    let mut at = 0;
    for (number, element) in elements.iter().enumerate() {
        out.push_str(&html[at..element.name_end]);
        out.push_str(&format!(" {NUMBER}=\"{number}\""));
        at = element.name_end;
    }
    out.push_str(&html[at..]);
    out
}

/// What css-inline made of each numbered element: its `style` value as it stands in HTML, or a `<style>`'s text.
fn made(output: &str) -> Option<HashMap<usize, String>> {
    let found: RefCell<HashMap<usize, String>> = RefCell::default();
    let last_style: RefCell<Option<usize>> = RefCell::default();
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!(format!("[{NUMBER}]"), |tag| {
            let number = tag.get_attribute(NUMBER).and_then(|number| number.parse::<usize>().ok());
            let Some(number) = number else { return Ok(()) };
            if tag.tag_name() == "style" {
                last_style.replace(Some(number));
                found.borrow_mut().insert(number, String::new());
            } else if let Some(style) = tag.get_attribute("style") {
                found.borrow_mut().insert(number, style);
            }
            Ok(())
        }))
        .append_element_content_handler(text!(format!("style[{NUMBER}]"), |chunk| {
            if let Some(number) = *last_style.borrow() {
                found.borrow_mut().entry(number).or_default().push_str(chunk.as_str());
            }
            Ok(())
        }));
    rewrite_str(output, settings).ok()?;
    Some(found.into_inner())
}

/// A style sheet without the rules that were copied. One with template tags stays whole, and so does one with markup
/// in it: it is wrapped in a comment, or never ends.
fn css_edit(hidden: &Hidden, css: &Range<usize>, made: &str) -> Option<Edit> {
    let before = &hidden.text[css.clone()];
    let stays = before.trim() == made.trim() || before.chars().any(|c| c == '<' || hidden.tag(c).is_some());
    (!stays).then(|| Edit::text(source_range(hidden, css.clone()), made))
}

/// A `style` attribute in the place of the old one. An old one with statements (`{% if %}`) stays as it is: what
/// css-inline would make of half a declaration is anybody's guess.
fn style_edit(hidden: &Hidden, element: &Element, made: &str) -> Option<Edit> {
    let old = element.style.clone().map(|range| &hidden.text[range]);
    let has_statement =
        |text: &str| text.chars().any(|c| hidden.tag(c).is_some_and(|tag| tag.kind != TagKind::Expression));
    if old.is_some_and(has_statement) {
        return None;
    }
    let made = made.trim_end_matches([';', ' ']);
    let new = format!("style=\"{}\"", made.replace('"', "&quot;"));
    if made.is_empty() || old == Some(new.as_str()) {
        return None;
    }
    let (range, lead) = match &element.style {
        Some(range) => (range.clone(), ""),
        None => (element.name_end..element.name_end, " "),
    };
    let mut with = vec![Bit::Ours(lead.to_owned())];
    let mut text = String::new();
    for c in new.chars() {
        match hidden.tag(c) {
            Some(tag) => {
                with.push(Bit::Ours(std::mem::take(&mut text)));
                with.push(Bit::Moved(tag.range.clone()));
            }
            None => text.push(c),
        }
    }
    with.push(Bit::Ours(text));
    Some(Edit { range: source_range(hidden, range), with })
}

fn source_range(hidden: &Hidden, range: Range<usize>) -> Range<usize> {
    hidden.source_offset(range.start)..hidden.source_offset(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlined(html: &str) -> String {
        inline(&Source::new("html", html.to_owned())).unwrap().text
    }

    #[test]
    fn rules_go_to_their_elements_and_media_queries_stay() {
        let html = "<style>p { color: red } .b { margin: 0 } @media (max-width:9px) { p { color: blue } } a:hover { top: 0 }</style>\n\
                    <p class=b>x<P STYLE='top:1px'>y</p>";
        let out = inlined(html);
        assert!(out.contains("<p style=\"color: red;margin: 0\" class=b>x"), "{out}");
        assert!(out.contains("<P style=\"color: red;top: 1px\">y</p>"), "{out}");
        assert!(out.contains("@media (max-width:9px)") && out.contains("a:hover"), "{out}");
        assert!(!out.contains(".b") && !out.contains("red }"), "{out}");
    }

    #[test]
    fn nothing_but_styles_changes() {
        let rows = "<style>td{padding:0}b{color:{{ c }}}</style><table>{% for x in y %}<tr {{ z }}><td width=1>{{ x }}</td></tr>{% endfor %}</table>\
                    <p style=\"{% if a %}top:0{% endif %}\"><b style='left:{{ d }}'>";
        let out = inlined(rows);
        let expected = rows
            .replace("<td width", "<td style=\"padding: 0\" width")
            .replace("<b style='left:{{ d }}'>", "<b style=\"color: {{ c }};left: {{ d }}\">");
        assert_eq!(out, expected);
    }

    #[test]
    fn places_stay() {
        let source = Source::new("html", "<style>p{color:red}</style>\n<p>\n{{ a }}</p>".into());
        let out = inline(&source).unwrap();
        let (_, place, _) = out.place(out.text.find("a }}").unwrap());
        assert_eq!((place.line, place.column), (3, 4));
    }

    #[test]
    fn without_rules_nothing_changes_and_too_much_is_said() {
        for html in ["<p>", "<style></style><p>", "<style>p{}</style"] {
            assert_eq!(inlined(html), html);
        }
        let deep = format!("<style>p{{top:0}}</style>{}", "<div>".repeat(1_000));
        assert!(inline(&Source::new("html", deep)).unwrap_err().message.contains("nested"));
        let many = format!("<style>{}</style>{}", "p{top:0}".repeat(3_000), "<p></p>".repeat(3_000));
        assert!(inline(&Source::new("html", many)).unwrap_err().message.contains("too many rules"));
        let large = format!("<style>p{{top:0}}</style>{}", "x".repeat(HTML_SIZE_MAX));
        assert!(inline(&Source::new("html", large)).unwrap_err().message.contains("1 MB"));
    }

    #[test]
    fn no_file_and_no_address_is_read() {
        let html = "<link rel=stylesheet href=\"/etc/passwd\"><style>@import url(file:///etc/passwd); p{top:0}</style><p>x";
        let out = inlined(html);
        assert!(out.contains("href=\"/etc/passwd\"") && out.contains("<p style=\"top: 0\">"), "{out}");
    }
}
