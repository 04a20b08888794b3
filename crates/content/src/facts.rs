//! What the control rules ask about a content, gathered once at compile.

use std::cell::RefCell;

use lol_html::html_content::{Element, TextType};
use lol_html::{RewriteStrSettings, doc_text, element, rewrite_str, text};
use serde::{Deserialize, Serialize};

use crate::marks::readable;
use crate::mobile::ElementFact;
use crate::problem::Place;
use crate::source::Source;
use crate::tags::{Hidden, TagKind, inner, scan};
use crate::urls::{self, decode};

/// Links kept, and images kept; a mail with more is told about these.
const FACTS_MAX: usize = 1_000;
/// Bytes kept of what a reader sees of a body.
const SEEN_MAX: usize = 64 * 1_024;

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
    /// Kinds of elements of the HTML, as it is sent.
    #[serde(default)]
    pub elements: Vec<ElementFact>,
    /// Merge tags of another system that are sent as text.
    pub foreign_tags: usize,
    /// The mirror page is open to who has the link: a link to it leads somewhere.
    #[serde(default)]
    pub mirror_page: bool,
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
    /// Its first 64 KB as a reader sees them: without markup, with a blank for each template tag.
    #[serde(skip)]
    pub seen: String,
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

/// The words of an HTML, one blank between them.
pub(crate) fn seen_of_html(html: &str) -> String {
    let Some(hidden) = Hidden::new(html) else { return String::new() };
    let seen = RefCell::new(String::new());
    let settings =
        RewriteStrSettings::new().with_strict(false).append_document_content_handler(doc_text!(|chunk| {
            let mut seen = seen.borrow_mut();
            if chunk.text_type() == TextType::Data && seen.len() < SEEN_MAX {
                seen.push_str(chunk.as_str());
                // Text goes on where a tag stood between: "<b>a</b>c" is one word, "<td>a</td><td>c</td>" two; the
                // difference matters to nobody who counts.
                seen.push_str(if chunk.last_in_text_node() { " " } else { "" });
            }
            Ok(())
        }));
    // HTML that the parser gives up on has the words found so far.
    let _ = rewrite_str(&hidden.text, settings);
    words(&decode(&seen.take()), &hidden)
}

/// The words of a text, one blank between them.
pub(crate) fn seen_of_text(text: &str) -> String {
    Hidden::new(text).map(|hidden| words(&hidden.text, &hidden)).unwrap_or_default()
}

fn words(text: &str, hidden: &Hidden) -> String {
    let is_blank = |c: char| c.is_whitespace() || hidden.tag(c).is_some();
    let mut out = String::with_capacity(text.len().min(SEEN_MAX));
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        if out.len() + word.len() > SEEN_MAX {
            break;
        }
        out.push_str(if out.is_empty() { "" } else { " " });
        out.push_str(word);
    }
    readable(&out)
}

/// True for `{{ unsubscribe_url }}` and `{{ mirror_url }}` alone: the same for everybody but for the token.
pub(crate) fn is_link_tag(tag_source: &str) -> bool {
    tag_source.starts_with("{{") && matches!(inner(tag_source), "unsubscribe_url" | "mirror_url")
}

/// Elements that lead somewhere in HTML, and in MJML.
const LINKS: [&str; 2] = ["a[href], area[href]", "[href]"];

/// What an HTML or MJML source has.
#[derive(Debug, Default)]
pub(crate) struct HtmlFacts {
    pub links: Vec<LinkFact>,
    pub images: Vec<ImageFact>,
    /// Offsets in the source of scripts and of attributes that hold one.
    pub scripts: Vec<usize>,
}

/// Gathers them.
struct Collector<'a> {
    source: &'a Source,
    hidden: &'a Hidden,
    places: crate::source::Places<'a>,
    facts: RefCell<HtmlFacts>,
}

impl Collector<'_> {
    fn place(&self, tag: &Element<'_, '_>) -> Place {
        self.places.of(self.offset(tag))
    }

    fn offset(&self, tag: &Element<'_, '_>) -> usize {
        self.hidden.source_offset(tag.source_location().bytes().start)
    }

    fn written(&self, value: &str) -> String {
        readable(&self.hidden.restore(&decode(value.trim()), &self.source.text))
    }

    fn link(&self, tag: &Element<'_, '_>) {
        let name = tag.tag_name();
        let links = &mut self.facts.borrow_mut().links;
        if links.len() >= FACTS_MAX || matches!(name.as_str(), "link" | "base" | "mj-font") {
            return;
        }
        let href = tag.get_attribute("href").unwrap_or_default();
        let Place { line, column } = self.place(tag);
        links.push(LinkFact {
            part: "html".to_owned(),
            personalised: href.chars().any(|c| self.hidden.tag(c).is_some()),
            url: self.written(&href),
            line,
            column,
            has_text: name == "area" || has_words(tag, "alt"),
        });
    }

    /// The link that is open shows something.
    fn seen(&self) {
        if let Some(link) = self.facts.borrow_mut().links.last_mut() {
            link.has_text = true;
        }
    }

    fn image(&self, tag: &Element<'_, '_>) {
        let images = &mut self.facts.borrow_mut().images;
        if images.len() < FACTS_MAX {
            let Place { line, column } = self.place(tag);
            let src = self.written(&tag.get_attribute("src").unwrap_or_default());
            images.push(ImageFact { src, line, column, has_alt: tag.has_attribute("alt") });
        }
    }

    fn script(&self, tag: &Element<'_, '_>) {
        let is_handler = |name: String| name.starts_with("on") && name.len() > 4;
        let runs = tag.attributes().iter().any(|attribute| is_handler(attribute.name()));
        if runs || tag.tag_name() == "script" {
            self.facts.borrow_mut().scripts.push(self.offset(tag));
        }
    }
}

/// Links, images and scripts of an HTML source, or an MJML one.
pub(crate) fn of_html(source: &Source, is_mjml: bool) -> HtmlFacts {
    let Some(hidden) = Hidden::new(&source.text) else { return HtmlFacts::default() };
    let collector = Collector { source, hidden: &hidden, places: source.places(), facts: RefCell::default() };
    let settings = RewriteStrSettings::new()
        .with_strict(false)
        .append_element_content_handler(element!(LINKS[usize::from(is_mjml)], |tag| {
            collector.link(tag);
            Ok(())
        }))
        .append_element_content_handler(text!(if is_mjml { "[href]" } else { "a[href]" }, |chunk| {
            if !chunk.as_str().trim().is_empty() {
                collector.seen();
            }
            Ok(())
        }))
        .append_element_content_handler(element!("[href] img[alt]", |tag| {
            if has_words(tag, "alt") {
                collector.seen();
            }
            Ok(())
        }))
        .append_element_content_handler(element!("img, mj-image", |tag| {
            collector.image(tag);
            Ok(())
        }))
        .append_element_content_handler(element!("*", |tag| {
            collector.script(tag);
            Ok(())
        }));
    // HTML that the parser gives up on has the facts found so far.
    let _ = rewrite_str(&hidden.text, settings);
    collector.facts.take()
}

fn has_words(tag: &Element<'_, '_>, attribute: &str) -> bool {
    tag.get_attribute(attribute).is_some_and(|words| !words.trim().is_empty())
}

/// Links of a text source that the author wrote.
pub(crate) fn of_text(source: &Source) -> Vec<LinkFact> {
    let Some(hidden) = Hidden::new(&source.text) else { return Vec::new() };
    let places = source.places();
    let link = |range: std::ops::Range<usize>| {
        let url = &hidden.text[range.clone()];
        let Place { line, column } = places.of(hidden.source_offset(range.start));
        LinkFact {
            part: "text".to_owned(),
            url: readable(&hidden.restore(url, &source.text)),
            line,
            column,
            has_text: true,
            personalised: url.chars().any(|c| hidden.tag(c).is_some()),
        }
    };
    urls::find(&hidden.text).into_iter().take(FACTS_MAX).map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_images_have_their_places() {
        let source = "<p>{{ a }}</p>\n {% if b %}<a href=\"https://x.example/?a={{ a }}&amp;b=1\"> go </a>{% endif %}\n<a href='#top'><img src=a.png></a><a href='/y'><img src='b.png' alt='B'></a>";
        let HtmlFacts { links, images, .. } = of_html(&Source::new("html", source.to_owned()), false);
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
    fn what_a_reader_sees() {
        let html = "<title>No</title><style>p{}</style><p>Dear&nbsp;{{ name }},\n  two&amp;two</p>{% if a %}<p>x</p>{% endif %}";
        assert_eq!(seen_of_html(html), "Dear , two&two x");
        assert_eq!(seen_of_text("a\n\n b {{ c }}d"), "a b d");
        assert!(seen_of_text(&"word ".repeat(99_999)).len() <= SEEN_MAX);
    }

    #[test]
    fn urls_in_text() {
        let links = of_text(&Source::new(
            "text",
            "See https://x.example/a. And\n<http://y.example/{{ id }}>, httpx".to_owned(),
        ));
        let seen: Vec<_> = links.iter().map(|l| (l.url.as_str(), l.line, l.column)).collect();
        assert_eq!(seen, [("https://x.example/a", 1, 5), ("http://y.example/{{ id }}", 2, 2)]);
    }

    #[test]
    fn scripts_and_mjml() {
        let source = "<p onclick='x()'>a</p>\n<SCRIPT>b</SCRIPT><p once>";
        let source = Source::new("html", source.to_owned());
        let facts = of_html(&source, false);
        assert_eq!(facts.scripts.iter().map(|at| source.place(*at).1.line).collect::<Vec<_>>(), [1, 2]);
        let mjml = "<mjml><mj-body><mj-button href='https://a.example'>Go</mj-button><mj-image src='b.png' href='https://b.example'/></mj-body></mjml>";
        let facts = of_html(&Source::new("mjml", mjml.to_owned()), true);
        let seen: Vec<_> = facts.links.iter().map(|link| (link.url.as_str(), link.has_text)).collect();
        assert_eq!(seen, [("https://a.example", true), ("https://b.example", false)]);
        assert_eq!(facts.images[0].src, "b.png");
    }

    #[test]
    fn the_unsubscribe_link_is_seen() {
        let facts = PartFacts::of("a {{unsubscribe_url}} b {{ mirror_url }}");
        assert!(facts.unsubscribe_link && facts.mirror_link && !facts.personalised);
        let facts = PartFacts::of("a {# unsubscribe_url #} {{ x }}");
        assert!(!facts.unsubscribe_link && facts.personalised);
    }
}
