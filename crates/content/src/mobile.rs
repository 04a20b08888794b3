//! Japanese mobiles: what docomo's Deco-mail, SoftBank's Decore Mail and au's Decoration Mail can show. The handsets
//! show a small HTML and refuse or cut what is larger than they take; what this finds is told to the author.

use std::cell::RefCell;
use std::collections::HashMap;

use lol_html::{RewriteStrSettings, element, rewrite_str};
use message::{Asset, Carrier, Charset, Slots, Snapshot, Structure};
use serde::{Deserialize, Serialize};

use crate::facts::ContentFacts;
use crate::problem::Problem;
use crate::source::Source;
use crate::tags::Hidden;

/// What a carrier's handsets take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobileLimits {
    /// A text or HTML section must be smaller than this, in bytes of its own encoding.
    pub section_size: usize,
    /// Images in a message.
    pub images: usize,
    /// All images together must be smaller than this, in bytes before they are encoded.
    pub images_size: usize,
    /// Sections and images together, in the same way.
    pub message_size: usize,
}

/// The same for all three carriers: docomo's and au's published numbers, which SoftBank's handsets meet.
pub const MOBILE_LIMITS: MobileLimits =
    MobileLimits { section_size: 10_000, images: 20, images_size: 100 * 1024, message_size: 100 * 1024 };

/// Image types that all three show.
const IMAGE_TYPES: [&str; 2] = ["image/jpeg", "image/gif"];

/// NTT docomo's list for Deco-mail, as the press had it when the service began (ITmedia Mobile, 28 January 2004).
/// `meta` may only say one fixed encoding there, so it is best left out, and is not in these lists.
const DOCOMO: [&str; 11] =
    ["a", "blink", "body", "br", "div", "font", "head", "hr", "html", "img", "marquee"];

/// KDDI's list for Decoration Mail (EZfactory, technical information, "supported tags"). No links: the handset finds
/// addresses in the text by itself. `object` is for Flash, which we do not send.
const AU: [&str; 10] = ["blink", "body", "br", "div", "font", "head", "hr", "html", "img", "marquee"];

/// SoftBank's handsets: no list of its own was found, so the tags on which guides for all carriers agree, and links.
const SOFTBANK: [&str; 12] =
    ["a", "blink", "body", "br", "div", "font", "head", "hr", "html", "img", "marquee", "title"];

/// Findings about one kind of thing; the rest is counted.
const NAMED_MAX: usize = 30;

/// The words for a carrier's format.
#[must_use]
pub fn format_title(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Docomo => "Deco-mail (docomo)",
        Carrier::SoftBank => "Decore Mail (SoftBank)",
        Carrier::Au => "Decoration Mail (au)",
    }
}

/// Tags that a carrier's handsets know.
#[must_use]
pub fn tags_of(carrier: Carrier) -> &'static [&'static str] {
    match carrier {
        Carrier::Docomo => &DOCOMO,
        Carrier::SoftBank => &SOFTBANK,
        Carrier::Au => &AU,
    }
}

/// A kind of element in the HTML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElementFact {
    /// Its name, lower case.
    pub name: String,
    /// Part that the place is in: `html` or `mjml`.
    pub part: String,
    /// Line of the first one, in the author's source.
    pub line: u32,
    /// Column of the first one, in characters.
    pub column: u32,
    /// How many there are.
    pub count: usize,
}

/// The elements of an HTML source, in the order in which they first stand.
pub(crate) fn elements(source: &Source) -> Vec<ElementFact> {
    /// Kinds kept: HTML has fewer.
    const KINDS_MAX: usize = 300;
    let Some(hidden) = Hidden::new(&source.text) else { return Vec::new() };
    let found: RefCell<Kinds> = RefCell::default();
    let settings = RewriteStrSettings::new().append_element_content_handler(element!("*", |tag| {
        let Kinds { kinds, numbers } = &mut *found.borrow_mut();
        let name = tag.tag_name();
        if let Some(number) = numbers.get(&name) {
            kinds[*number].2 += 1;
        } else if kinds.len() < KINDS_MAX {
            numbers.insert(name.clone(), kinds.len());
            kinds.push((name, tag.source_location().bytes().start, 1));
        }
        Ok(())
    }));
    // HTML that the parser gives up on has the elements found so far.
    let _ = rewrite_str(&hidden.text, settings);
    let fact = |(name, at, count)| {
        let (part, place, _) = source.place(hidden.source_offset(at));
        ElementFact { name, part: part.to_owned(), line: place.line, column: place.column, count }
    };
    found.into_inner().kinds.into_iter().map(fact).collect()
}

/// Kinds of elements while they are counted: name, offset of the first one, and how many.
#[derive(Default)]
struct Kinds {
    kinds: Vec<(String, usize, usize)>,
    /// Index in `kinds` by name.
    numbers: HashMap<String, usize>,
}

/// One message as a carrier's handset would get it.
#[derive(Debug, Clone, Copy)]
pub struct MobileMessage<'a> {
    /// HTML section, decoded.
    pub html: Option<&'a str>,
    /// Its encoding.
    pub html_charset: Charset,
    /// Text section, decoded.
    pub text: Option<&'a str>,
    /// Its encoding.
    pub text_charset: Charset,
    /// Images that go along.
    pub images: &'a [Asset],
    /// Addresses of images that do not go along.
    pub remote_images: &'a [String],
}

/// What this carrier's handsets would not show of a message, or not take. `elements` are
/// [`crate::ContentFacts::elements`].
#[must_use]
pub fn diagnose(carrier: Carrier, elements: &[ElementFact], message: &MobileMessage<'_>) -> Vec<Problem> {
    let mut problems = tags(carrier, elements);
    sizes(carrier, message, &mut problems);
    problems
}

/// The same for one recipient's message: nothing when its variant is no carrier's. `html` and `text` are the bodies
/// as [`message::Prepared::part_text`] gives them, `slots` what they were made of; only tags that stand in this message's HTML are named, at the first
/// of them in the author's source.
#[must_use]
pub fn diagnose_message(
    facts: &ContentFacts,
    snapshot: &Snapshot,
    variant: u8,
    html: Option<&str>,
    text: Option<&str>,
    slots: &Slots,
) -> Vec<Problem> {
    let Some(of) = snapshot.variants.get(usize::from(variant)) else { return Vec::new() };
    let Some(carrier) = of.carrier else { return Vec::new() };
    let has_html = of.structure != Structure::Text;
    let is_remote = |src: &String| {
        let lower = src.to_ascii_lowercase();
        lower.starts_with("http") && !snapshot.images.iter().any(|image| image.name == *src)
    };
    let (html, codes) = without_codes(html, slots);
    let html = html.as_deref();
    let images: Vec<Asset> = snapshot.images.iter().cloned().chain(codes).collect();
    let sent = html.filter(|_| has_html).map(names).unwrap_or_default();
    let elements: Vec<ElementFact> = facts
        .elements
        .iter()
        .filter_map(|fact| Some(ElementFact { count: *sent.get(&fact.name)?, ..fact.clone() }))
        .collect();
    let remote: Vec<String> = facts.images.iter().map(|image| image.src.clone()).filter(is_remote).collect();
    let message = MobileMessage {
        html: html.filter(|_| has_html),
        html_charset: of.html.charset,
        text: text.filter(|_| of.structure != Structure::Html),
        text_charset: of.text.charset,
        images: if has_html { &images } else { &[] },
        remote_images: if has_html { &remote } else { &[] },
    };
    diagnose(carrier, &elements, &message)
}

/// The HTML as it is sent, codes by name, and the codes as images.
fn without_codes(html: Option<&str>, slots: &Slots) -> (Option<String>, Vec<Asset>) {
    let mut sent = html.map(str::to_owned);
    let mut codes = Vec::new();
    for (number, data) in slots.codes() {
        sent = sent.map(|sent| sent.replace(data, "cid:code0@"));
        let (kind, base64) = data.trim_start_matches("data:").split_once(";base64,").unwrap_or_default();
        codes.push(Asset {
            hash: String::new(),
            content_type: kind.to_owned(),
            name: format!("code{number}"),
            size: (base64.len() / 4 * 3) as u64,
            inline: true,
        });
    }
    (sent, codes)
}

/// How often each element stands in an HTML that has no template tags: a condition may have left some out.
fn names(html: &str) -> HashMap<String, usize> {
    let found: RefCell<HashMap<String, usize>> = RefCell::default();
    let settings = RewriteStrSettings::new().append_element_content_handler(element!("*", |tag| {
        *found.borrow_mut().entry(tag.tag_name()).or_default() += 1;
        Ok(())
    }));
    let _ = rewrite_str(html, settings);
    found.into_inner()
}

/// One problem for each kind of tag that the carrier does not know, at the first one.
fn tags(carrier: Carrier, elements: &[ElementFact]) -> Vec<Problem> {
    let known = tags_of(carrier);
    let unknown = elements.iter().filter(|element| !known.contains(&element.name.as_str()));
    let problem = |element: &ElementFact| {
        let count = match element.count {
            1 => String::new(),
            count => format!(" ({count} times; the first is here)"),
        };
        let message = format!("{} does not know the tag <{}>{count}", format_title(carrier), element.name);
        Problem { line: element.line, column: element.column, ..Problem::new(&element.part, message) }
    };
    unknown.take(NAMED_MAX).map(problem).collect()
}

fn sizes(carrier: Carrier, message: &MobileMessage<'_>, problems: &mut Vec<Problem>) {
    let title = format_title(carrier);
    let limits = MOBILE_LIMITS;
    let mut total = 0;
    let sections = [
        ("html", "HTML", message.html, message.html_charset),
        ("text", "text", message.text, message.text_charset),
    ];
    for (part, name, section, charset) in sections {
        let size = section.map_or(0, |text| charset.encode_with_geta(text).len());
        total += size;
        if size >= limits.section_size {
            let text = format!(
                "the {name} section has {size} bytes in {}; {title} takes less than {}",
                charset.name(),
                limits.section_size
            );
            problems.push(
                Problem::new(part, text).hint("shorten it, or write less for mobiles with a condition"),
            );
        }
    }
    images(title, message, problems);
    let images_size = message.images.iter().map(|image| image.size as usize).sum::<usize>();
    total += images_size;
    if images_size >= limits.images_size {
        let text = format!(
            "the images have {images_size} bytes together; {title} takes less than {}",
            limits.images_size
        );
        problems.push(Problem::new("message", text).hint("make the images smaller"));
    } else if total >= limits.message_size {
        let text = format!("the message has {total} bytes; {title} takes less than {}", limits.message_size);
        problems.push(Problem::new("message", text).hint("make the images smaller"));
    }
}

fn images(title: &str, message: &MobileMessage<'_>, problems: &mut Vec<Problem>) {
    if message.images.len() > MOBILE_LIMITS.images {
        let count = message.images.len();
        let text = format!("there are {count} images; {title} takes {}", MOBILE_LIMITS.images);
        problems.push(Problem::new("html", text));
    }
    let wrong = message.images.iter().filter(|image| !IMAGE_TYPES.contains(&image.content_type.as_str()));
    for image in wrong.take(NAMED_MAX) {
        let text = format!("{} is of type {}; {title} shows JPEG and GIF", image.name, image.content_type);
        problems.push(Problem::new("html", text).hint("save the image as JPEG or GIF"));
    }
    for address in message.remote_images.iter().take(NAMED_MAX) {
        let text = format!("the image {address} does not go along; {title} shows only images in the message");
        problems.push(Problem::new("html", text).hint("upload the image"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, content_type: &str, size: u64) -> Asset {
        Asset {
            hash: String::new(),
            content_type: content_type.into(),
            name: name.into(),
            size,
            inline: true,
        }
    }

    fn message<'a>(html: &'a str, text: &'a str, images: &'a [Asset]) -> MobileMessage<'a> {
        MobileMessage {
            html: Some(html),
            html_charset: Charset::SHIFT_JIS,
            text: Some(text),
            text_charset: Charset::ISO_2022_JP,
            images,
            remote_images: &[],
        }
    }

    fn texts(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(|problem| problem.message.clone()).collect()
    }

    #[test]
    fn each_unknown_tag_is_named_at_its_line() {
        let html = "<html><head>\n<meta charset=utf-8>\n<link rel=x></head>{{ a }}\n<body><TABLE><tr><td>x<tr><td>y</table>\n<a href=x>z</a><div>{% if b %}<script></script>{% endif %}";
        let elements = elements(&Source::new("html", html.to_owned()));
        let found = |carrier| {
            let problems = diagnose(carrier, &elements, &message("", "", &[]));
            let name = |text: &str| text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            problems.iter().map(|problem| (name(&problem.message), problem.line)).collect::<Vec<_>>()
        };
        let common = [("meta", 2), ("link", 3), ("table", 4), ("tr", 4), ("td", 4), ("script", 5)];
        let common: Vec<_> = common.iter().map(|(name, line)| ((*name).to_owned(), *line)).collect();
        assert_eq!(found(Carrier::Docomo), common);
        assert_eq!(found(Carrier::SoftBank), common);
        let mut au = common;
        au.insert(5, ("a".to_owned(), 5));
        assert_eq!(found(Carrier::Au), au);
        let problems = diagnose(Carrier::Docomo, &elements, &message("", "", &[]));
        assert_eq!(
            problems[3].message,
            "Deco-mail (docomo) does not know the tag <tr> (2 times; the first is here)"
        );
    }

    #[test]
    fn only_what_a_message_has_is_named() {
        let source =
            Source::new("html", "{% if a %}<table>\n</table>{% else %}<b>x</b>{% endif %}<i>".into());
        let facts = ContentFacts { elements: elements(&source), ..ContentFacts::default() };
        let mut of = message::Variant::new(Structure::Alternative, Charset::SHIFT_JIS);
        let none = Slots::default();
        let snapshot = |of: &message::Variant| Snapshot { variants: vec![of.clone()], ..Snapshot::default() };
        assert!(
            diagnose_message(&facts, &snapshot(&of), 0, Some("<table>"), None, &none).is_empty(),
            "no carrier's"
        );
        of.carrier = Some(Carrier::Docomo);
        let found = texts(&diagnose_message(&facts, &snapshot(&of), 0, Some("<b>x</b><i>"), None, &none));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("the tag <b>") && found[1].ends_with("the tag <i>"));
        assert!(diagnose_message(&facts, &snapshot(&of), 9, Some("<b>"), None, &none).is_empty());
    }

    #[test]
    fn sections_are_measured_in_their_encoding() {
        // Shift_JIS has two bytes for what UTF-8 has three for; ISO-2022-JP adds six for leaving and coming back.
        let html = "あ".repeat(4_999);
        assert!(diagnose(Carrier::Docomo, &[], &message(&html, "", &[])).is_empty());
        let html = "あ".repeat(5_000);
        let problems = diagnose(Carrier::Docomo, &[], &message(&html, &"あ".repeat(4_997), &[]));
        assert_eq!(
            texts(&problems),
            [
                "the HTML section has 10000 bytes in Shift_JIS; Deco-mail (docomo) takes less than 10000",
                "the text section has 10000 bytes in ISO-2022-JP; Deco-mail (docomo) takes less than 10000"
            ]
        );
    }

    #[test]
    fn images_are_counted_weighed_and_named() {
        let fine = vec![image("a.gif", "image/gif", 1_000); MOBILE_LIMITS.images];
        assert!(diagnose(Carrier::Au, &[], &message("x", "x", &fine)).is_empty());
        let many = vec![image("a.jpg", "image/jpeg", 1); MOBILE_LIMITS.images + 1];
        assert_eq!(
            texts(&diagnose(Carrier::Au, &[], &message("", "", &many))),
            ["there are 21 images; Decoration Mail (au) takes 20"]
        );
        let png = [image("b.png", "image/png", MOBILE_LIMITS.images_size as u64)];
        let found = texts(&diagnose(Carrier::SoftBank, &[], &message("", "", &png)));
        assert_eq!(found[0], "b.png is of type image/png; Decore Mail (SoftBank) shows JPEG and GIF");
        assert!(found[1].starts_with("the images have 102400 bytes together") && found.len() == 2);
        let near = [image("c.gif", "image/gif", MOBILE_LIMITS.images_size as u64 - 1)];
        assert!(
            texts(&diagnose(Carrier::Au, &[], &message("x", "", &near)))[0]
                .starts_with("the message has 102400")
        );
        let remote = ["https://x.example/a.gif".to_owned()];
        let far = MobileMessage { remote_images: &remote, ..message("", "", &[]) };
        assert!(texts(&diagnose(Carrier::Au, &[], &far))[0].contains("shows only images in the message"));
    }
}
