//! What the control rules ask about a content, gathered once at compile.

use std::cell::RefCell;

use lol_html::{RewriteStrSettings, element, rewrite_str, text};
use serde::{Deserialize, Serialize};

use crate::problem::{Lines, Place};
use crate::tags::{Hidden, TagKind, inner, scan};

/// Links kept, and images kept; a mail with more is told about these.
const FACTS_MAX: usize = 1_000;

/// Facts about a content. Places are those of the author's source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContentFacts {
    /// Subject as the author wrote it.
    pub subject: String,
    /// The subject has template tags.
    pub subject_personalised: bool,
    /// Sender's name as the author wrote it.
    pub from_name: String,
    /// Sender's address as the author wrote it.
    pub from_address: String,
    /// The sender's address has template tags.
    pub from_address_personalised: bool,
    /// The HTML body.
    pub html: Option<PartFacts>,
    /// The text body.
    pub text: Option<PartFacts>,
    /// The text body was made from the HTML.
    pub text_generated: bool,
    /// Links of the HTML body, and of the text body where the author wrote it.
    pub links: Vec<LinkFact>,
    /// Images of the HTML body.
    pub images: Vec<ImageFact>,
    /// Merge tags of another system that are sent as text.
    pub foreign_tags: usize,
}

/// Facts about a body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartFacts {
    /// Bytes of the source.
    pub size: usize,
    /// The unsubscribe link stands in it: `{{ unsubscribe_url }}`, in whatever condition.
    pub unsubscribe_link: bool,
    /// The mirror link stands in it.
    pub mirror_link: bool,
    /// It has template tags besides those links.
    pub personalised: bool,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// `html` or `text`.
    pub part: String,
    /// As the author wrote it, template tags and all.
    pub url: String,
    /// Line of the tag, or of the URL in text.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
    /// The link shows something: text, or an image with an alternative text.
    pub has_text: bool,
    /// The URL has template tags.
    pub personalised: bool,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFact {
    /// As the author wrote it.
    pub src: String,
    /// Line of the tag.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
    /// It has an `alt`, even an empty one.
    pub has_alt: bool,
}

impl PartFacts {
    pub(crate) fn of(source: &str) -> PartFacts {
        let mut facts = PartFacts { size: source.len(), ..PartFacts::default() };
        for tag in scan(source) {
            let text = &source[tag.range];
            let names = |name: &str| {
                inner(text).split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
            };
            match tag.kind {
                TagKind::Expression | TagKind::Statement => {
                    facts.unsubscribe_link |= tag.kind == TagKind::Expression && names("unsubscribe_url");
                    facts.mirror_link |= tag.kind == TagKind::Expression && names("mirror_url");
                    facts.personalised |= !is_link_tag(text);
                }
                TagKind::Comment | TagKind::Raw { .. } => {}
            }
        }
        facts
    }
}

/// True for `{{ unsubscribe_url }}` and `{{ mirror_url }}` alone: the same for everybody but for the token.
pub(crate) fn is_link_tag(tag_source: &str) -> bool {
    tag_source.starts_with("{{") && matches!(inner(tag_source), "unsubscribe_url" | "mirror_url")
}

/// Links and images of an HTML source.
pub(crate) fn of_html(source: &str) -> (Vec<LinkFact>, Vec<ImageFact>) {
    let Some(hidden) = Hidden::new(source) else { return (Vec::new(), Vec::new()) };
    let links: RefCell<Vec<LinkFact>> = RefCell::default();
    let images: RefCell<Vec<ImageFact>> = RefCell::default();
    let lines = Lines::new(source);
    let place = |at: usize| lines.place(hidden.source_offset(at));
    let restore = |text: &str| hidden.restore(&unescape(text), source);
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("a[href], area[href]", |tag| {
            if links.borrow().len() >= FACTS_MAX {
                return Ok(());
            }
            let href = tag.get_attribute("href").unwrap_or_default();
            let Place { line, column } = place(tag.source_location().bytes().start);
            links.borrow_mut().push(LinkFact {
                part: "html".to_owned(),
                personalised: href.chars().any(|c| hidden.tag(c).is_some()),
                url: restore(href.trim()),
                line,
                column,
                has_text: tag.tag_name() == "area",
            });
            Ok(())
        }))
        .append_element_content_handler(text!("a[href]", |chunk| {
            if !chunk.as_str().trim().is_empty()
                && let Some(link) = links.borrow_mut().last_mut()
            {
                link.has_text = true;
            }
            Ok(())
        }))
        .append_element_content_handler(element!("a[href] img[alt]", |tag| {
            if tag.get_attribute("alt").is_some_and(|alt| !alt.trim().is_empty())
                && let Some(link) = links.borrow_mut().last_mut()
            {
                link.has_text = true;
            }
            Ok(())
        }))
        .append_element_content_handler(element!("img", |tag| {
            if images.borrow().len() >= FACTS_MAX {
                return Ok(());
            }
            let Place { line, column } = place(tag.source_location().bytes().start);
            images.borrow_mut().push(ImageFact {
                src: restore(tag.get_attribute("src").unwrap_or_default().trim()),
                line,
                column,
                has_alt: tag.has_attribute("alt"),
            });
            Ok(())
        }));
    // HTML that the parser gives up on has the facts found so far.
    let _ = rewrite_str(&hidden.text, settings);
    (links.into_inner(), images.into_inner())
}

/// Links of a text source that the author wrote.
pub(crate) fn of_text(source: &str) -> Vec<LinkFact> {
    let mut links = Vec::new();
    let Some(hidden) = Hidden::new(source) else { return links };
    let text = &hidden.text;
    let lines = Lines::new(source);
    let mut at = 0;
    while links.len() < FACTS_MAX
        && let Some(start) = text[at..].find("http").map(|found| at + found)
    {
        let rest = &text[start..];
        at = start + 4;
        if !(rest.starts_with("http://") || rest.starts_with("https://")) {
            continue;
        }
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(rest.len());
        let url = rest[..end].trim_end_matches(['.', ',', ';', ')', ']', '!', '?']);
        let Place { line, column } = lines.place(hidden.source_offset(start));
        links.push(LinkFact {
            part: "text".to_owned(),
            url: hidden.restore(url, source),
            line,
            column,
            has_text: true,
            personalised: url.chars().any(|c| hidden.tag(c).is_some()),
        });
        at = start + end;
    }
    links
}

/// The entity that URLs hold.
fn unescape(text: &str) -> String {
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_images_have_their_places() {
        let source = "<p>{{ a }}</p>\n {% if b %}<a href=\"https://x.example/?a={{ a }}&amp;b=1\"> go </a>{% endif %}\n<a href='#top'><img src=a.png></a><a href='/y'><img src='b.png' alt='B'></a>";
        let (links, images) = of_html(source);
        let seen: Vec<_> =
            links.iter().map(|l| (l.url.as_str(), l.line, l.column, l.has_text, l.personalised)).collect();
        assert_eq!(
            seen,
            [
                ("https://x.example/?a={{ a }}&b=1", 2, 12, true, true),
                ("#top", 3, 1, false, false),
                ("/y", 3, 35, true, false)
            ]
        );
        assert_eq!((images[0].has_alt, images[1].has_alt), (false, true));
        assert_eq!((images[0].line, images[0].column), (3, 16));
    }

    #[test]
    fn urls_in_text() {
        let links = of_text("See https://x.example/a. And\n<http://y.example/{{ id }}>, httpx");
        let seen: Vec<_> = links.iter().map(|l| (l.url.as_str(), l.line, l.column)).collect();
        assert_eq!(seen, [("https://x.example/a", 1, 5), ("http://y.example/{{ id }}", 2, 2)]);
    }

    #[test]
    fn the_unsubscribe_link_is_seen() {
        let facts = PartFacts::of("a {{unsubscribe_url}} b {{ mirror_url }}");
        assert!(facts.unsubscribe_link && facts.mirror_link && !facts.personalised);
        let facts = PartFacts::of("a {# unsubscribe_url #} {{ x }}");
        assert!(!facts.unsubscribe_link && facts.personalised);
    }
}
