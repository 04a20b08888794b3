//! The elements of an HTML source that lead somewhere, also those in Outlook's conditional comments.

use std::cell::RefCell;
use std::ops::Range;

use lol_html::html_content::{Attribute, Element};
use lol_html::{RewriteStrSettings, doc_comments, element, rewrite_str, text};

/// Attributes that tell us about a link, and that no recipient sees.
const TRACK: &str = "data-mailwright-track";
const LABEL: &str = "data-label";
const CATEGORY: &str = "data-category";
/// Text of a link that is kept for its label.
const TEXT_LEN_MAX: usize = 600;

/// A link: ranges are in the source, values as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Anchor {
    /// Where the element begins.
    pub at: usize,
    /// The address.
    pub href: Range<usize>,
    /// Attributes that do not go out.
    pub removals: Vec<Range<usize>>,
    pub track: Option<String>,
    pub label: Option<String>,
    pub category: Option<String>,
    pub title: String,
    /// The words in it.
    pub text: String,
    /// The text of the first image in it.
    pub alt: String,
}

/// All links, in the order in which they stand.
pub(crate) fn anchors(html: &str) -> Vec<Anchor> {
    let comments: RefCell<Vec<Range<usize>>> = RefCell::default();
    let mut found = pass(html, 0, "a[href], area[href]", Some(&comments));
    for comment in comments.into_inner() {
        // VML shapes lead somewhere, too: `<v:roundrect href="…">`.
        found.extend(pass(&html[comment.clone()], comment.start, "[href]", None));
    }
    found.sort_by_key(|anchor| anchor.href.start);
    found
}

fn pass(
    html: &str,
    base: usize,
    selector: &str,
    comments: Option<&RefCell<Vec<Range<usize>>>>,
) -> Vec<Anchor> {
    let found: RefCell<Vec<Anchor>> = RefCell::default();
    let mut settings = RewriteStrSettings::new()
        // A stray `<select>` must not end the search.
        .with_strict(false)
        .append_element_content_handler(element!(selector, |tag| {
            if !matches!(tag.tag_name().as_str(), "link" | "base") {
                found.borrow_mut().extend(anchor(html, base, tag));
            }
            Ok(())
        }))
        .append_element_content_handler(text!("a[href]", |chunk| {
            if let Some(last) = found.borrow_mut().last_mut()
                && last.text.len() < TEXT_LEN_MAX
            {
                last.text.push_str(chunk.as_str());
            }
            Ok(())
        }))
        .append_element_content_handler(element!("a[href] img[alt]", |tag| {
            if let Some(last) = found.borrow_mut().last_mut()
                && last.alt.is_empty()
            {
                last.alt = tag.get_attribute("alt").unwrap_or_default();
            }
            Ok(())
        }));
    if let Some(comments) = comments {
        settings = settings.append_document_content_handler(doc_comments!(|comment| {
            let text = comment.text();
            if let (true, Some(start)) = (text.trim_start().starts_with("[if"), text.find("]>")) {
                let bytes = comment.source_location().bytes();
                // Behind `<!--`.
                let inside = bytes.start + 4;
                let end = text.rfind("<![endif]").unwrap_or(text.len()).max(start + 2);
                if inside + end <= html.len() {
                    comments.borrow_mut().push(inside + start + 2..inside + end);
                }
            }
            Ok(())
        }));
    }
    // HTML that the parser gives up on has the links found so far.
    let _ = rewrite_str(html, settings);
    found.into_inner()
}

fn anchor(html: &str, base: usize, tag: &Element<'_, '_>) -> Option<Anchor> {
    let href = tag.attributes().iter().find(|attribute| attribute.name() == "href")?;
    let range = href.value_source_location()?.bytes();
    let value = |name: &str| tag.get_attribute(name);
    let removals = tag.attributes().iter().filter_map(|attribute| removal(html, base, attribute)).collect();
    Some(Anchor {
        at: base + tag.source_location().bytes().start,
        href: base + range.start..base + range.end,
        removals,
        track: value(TRACK),
        label: value(LABEL),
        category: value(CATEGORY),
        title: value("title").unwrap_or_default(),
        text: String::new(),
        alt: if tag.tag_name() == "area" { value("alt").unwrap_or_default() } else { String::new() },
    })
}

/// The range of one of our attributes, with the blank before it.
fn removal(html: &str, base: usize, attribute: &Attribute<'_>) -> Option<Range<usize>> {
    let name = attribute.name();
    if ![TRACK, LABEL, CATEGORY].contains(&name.as_str()) {
        return None;
    }
    let name = attribute.name_source_location()?.bytes();
    let end = match attribute.value_source_location().map(|location| location.bytes()) {
        // A closing quote stands behind the value where an opening one stands before it.
        Some(value) => {
            let quoted = html[..value.start].ends_with(['"', '\'']);
            if quoted { value.end + 1 } else { value.end }
        }
        None => name.end,
    };
    let blank =
        html[..name.start].chars().next_back().filter(|c| c.is_whitespace()).map_or(0, char::len_utf8);
    Some(base + name.start - blank..base + end.min(html.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_what_they_show() {
        let html = "<a title='T' href=\"https://a.example\">Our <b>shop</b></a> <a href=https://b.example><img alt='B' src=x></a>\
            <a name=x>none</a><map><area href='https://c.example' alt=C></map><link href=\"x.css\">";
        let found = anchors(html);
        let seen: Vec<_> = found
            .iter()
            .map(|a| (&html[a.href.clone()], a.text.as_str(), a.alt.as_str(), a.title.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("https://a.example", "Our shop", "", "T"),
                ("https://b.example", "", "B", ""),
                ("https://c.example", "", "C", "")
            ]
        );
        assert!(html[found[1].at..].starts_with("<a href=https://b"));
    }

    #[test]
    fn our_attributes_are_removed() {
        let html =
            "<a data-mailwright-track=off data-label=\"x y\" href='https://a.example' data-category>z</a>";
        let found = &anchors(html)[0];
        assert_eq!(
            (found.track.as_deref(), found.label.as_deref(), found.category.as_deref()),
            (Some("off"), Some("x y"), Some(""))
        );
        let mut left = html.to_owned();
        for range in found.removals.iter().rev() {
            left.replace_range(range.clone(), "");
        }
        assert_eq!(left, "<a href='https://a.example'>z</a>");
    }

    #[test]
    fn outlooks_comments_have_links() {
        let html = "<p>é</p><!--[if mso]><v:roundrect href=\"https://a.example\"><![endif]--><!--[if !mso]><!--><a href=\"https://b.example\">b</a><!--<![endif]--><!-- <a href='https://c.example'> -->";
        let found: Vec<&str> = anchors(html).iter().map(|a| &html[a.href.clone()]).collect();
        assert_eq!(found, ["https://a.example", "https://b.example"]);
    }
}
