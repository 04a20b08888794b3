//! Images of an HTML source: names of uploaded files become marks, which compose turns into public URLs or `cid:`.
//! References stand in `src`, `srcset`, `background` and `poster`, in CSS (`style` attributes and elements), and in
//! Outlook's conditional comments.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use lol_html::{RewriteStrSettings, doc_comments, element, rewrite_str, text};
use message::{Asset, IMAGES_MAX};

use crate::assets::{NamedAsset, plain_name};
use crate::draft::{CompileOptions, Draft, ImageChoice};
use crate::marks;
use crate::problem::Problem;
use crate::source::{Edit, Source};
use crate::tags::Hidden;

/// Warnings about images of one content; one that names a hundred missing files is told about these.
const WARNINGS_MAX: usize = 20;

/// Puts a mark in the place of each reference to an uploaded file, and adds the file to `images`, once however often
/// it is used. A reference with an address of its own stays; one that nothing answers stays too, with a warning.
pub(crate) fn place(
    source: &Source,
    draft: &Draft,
    options: &CompileOptions,
    images: &mut Vec<Asset>,
    warnings: &mut Vec<Problem>,
) -> Source {
    let Some(hidden) = Hidden::new(&source.text) else { return source.clone() };
    let by_name: HashMap<&str, &NamedAsset> =
        options.assets.iter().map(|asset| (asset.name.as_str(), asset)).collect();
    let mut edits = Vec::new();
    let mut told = BTreeSet::new();
    for range in references(&hidden.text) {
        let written = &hidden.text[range.clone()];
        let at = hidden.source_offset(range.start)..hidden.source_offset(range.end);
        let meant = unescape(&hidden.restore(written, &source.text));
        let found = match find(&by_name, &meant) {
            Some(asset) if asset.is_image() => number(asset, draft, images)
                .ok_or_else(|| format!("there are more than {IMAGES_MAX} images; {} stays out", asset.name)),
            Some(asset) => Err(format!("the file {} is no image", asset.name)),
            None => match complaint(&meant, wants_inline(draft, &meant)) {
                Some(complaint) => Err(complaint),
                None => continue,
            },
        };
        match found {
            Ok(number) => edits.push(Edit::text(at, marks::image(number))),
            Err(message) => {
                if told.len() < WARNINGS_MAX && told.insert(meant) {
                    warnings.push(source.problem(at.start, message).hint("upload the file under this name"));
                }
            }
        }
    }
    source.edited(edits)
}

/// The file that a reference means: by its name, or a fetched image by its URL.
fn find<'a>(by_name: &HashMap<&str, &'a NamedAsset>, meant: &str) -> Option<&'a NamedAsset> {
    let get = |name: &str| by_name.get(name).copied();
    let bare = plain_name(meant);
    let without_query = bare.split(['?', '#']).next().unwrap_or_default();
    get(meant).or_else(|| get(bare)).or_else(|| get(without_query)).or_else(|| {
        let decoded = percent_decoded(without_query)?;
        get(&decoded)
    })
}

/// The number of a file in the snapshot's images; nothing when there are too many.
fn number(asset: &NamedAsset, draft: &Draft, images: &mut Vec<Asset>) -> Option<u16> {
    let inline = asset.inline || wants_inline(draft, &asset.name);
    if let Some(known) = images.iter().position(|image| image.hash == asset.hash) {
        images[known].inline |= inline;
        return u16::try_from(known).ok();
    }
    if images.len() >= IMAGES_MAX {
        return None;
    }
    images.push(Asset {
        hash: asset.hash.clone(),
        content_type: asset.content_type.clone(),
        name: asset.name.clone(),
        size: asset.size,
        inline,
    });
    u16::try_from(images.len() - 1).ok()
}

fn wants_inline(draft: &Draft, name: &str) -> bool {
    draft.image_mode == ImageChoice::Inline
        || draft.image_inline.iter().any(|chosen| chosen == name || plain_name(chosen) == plain_name(name))
}

/// What is wrong with a reference that no file answers; nothing for one that leads somewhere by itself.
fn complaint(meant: &str, inline: bool) -> Option<String> {
    let lower = meant.to_ascii_lowercase();
    let is_remote = lower.starts_with("http://") || lower.starts_with("https://");
    // A name that is a template's is known per recipient only; `//host/x` and `cid:x` lead somewhere.
    let leads = meant.is_empty()
        || meant.starts_with("{{")
        || meant.starts_with("{%")
        || meant.starts_with(['#', '/'])
        || lower.starts_with("cid:")
        || meant.starts_with(crate::marks::BRACE);
    if lower.starts_with("data:") {
        return Some("many mail programs do not show an image that stands in the HTML as data".to_owned());
    }
    if is_remote {
        return inline.then(|| format!("{meant} was not fetched, so it stays at its address"));
    }
    (!leads).then(|| format!("there is no file {meant}, and it is no address"))
}

/// Where references stand in an HTML text, in the order of the text.
fn references(html: &str) -> Vec<Range<usize>> {
    let found: RefCell<Vec<Range<usize>>> = RefCell::default();
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("*", |tag| {
            let name = tag.tag_name();
            for attribute in tag.attributes() {
                let Some(at) = attribute.value_source_location() else { continue };
                let range = at.bytes();
                let mut found = found.borrow_mut();
                match attribute.name().as_str() {
                    "src" if matches!(name.as_str(), "img" | "input" | "image") || name.starts_with("v:") => {
                        found.push(trimmed(html, range));
                    }
                    "background" | "poster" => found.push(trimmed(html, range)),
                    "srcset" if name == "img" => candidates(html, range, &mut found),
                    "style" => urls(html, range, &mut found),
                    _ => {}
                }
            }
            Ok(())
        }))
        .append_element_content_handler(text!("style", |chunk| {
            urls(html, chunk.source_location().bytes(), &mut found.borrow_mut());
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(|comment| {
            let range = comment.source_location().bytes();
            if html[range.clone()].starts_with("<!--[if") {
                in_comment(html, range, &mut found.borrow_mut());
            }
            Ok(())
        }));
    // HTML that the parser gives up on has the references found so far.
    let _ = rewrite_str(html, settings);
    let mut found = found.into_inner();
    found.retain(|range| !range.is_empty());
    found.sort_by_key(|range| range.start);
    found
}

fn trimmed(html: &str, range: Range<usize>) -> Range<usize> {
    let text = &html[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    start..start + text.trim().len()
}

/// The URLs of a `srcset`.
fn candidates(html: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let mut at = range.start;
    for candidate in html[range].split(',') {
        let url = trimmed(html, at..at + candidate.len());
        let length = html[url.clone()].find(char::is_whitespace).unwrap_or(url.len());
        found.push(url.start..url.start + length);
        at += candidate.len() + 1;
    }
}

/// The arguments of `url(…)` in CSS, without quotes; in an attribute a quote can be an entity.
fn urls(html: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    const QUOTES: [&str; 5] = ["\"", "'", "&quot;", "&#39;", "&apos;"];
    let mut at = range.start;
    while let Some(start) = find_ignoring_case(&html[at..range.end], "url(").map(|offset| at + offset + 4) {
        let Some(length) = html[start..range.end].find(')') else { return };
        at = start + length;
        let mut url = trimmed(html, start..at);
        for quote in QUOTES {
            if html[url.clone()].starts_with(quote) {
                url.start += quote.len();
                if html[url.clone()].ends_with(quote) {
                    url.end -= quote.len();
                }
                break;
            }
        }
        found.push(url);
    }
}

/// Outlook's markup in conditional comments: `src="…"`, `background="…"` and `url(…)`.
fn in_comment(html: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    for name in ["src=", "background="] {
        let mut at = range.start;
        while let Some(start) = find_ignoring_case(&html[at..range.end], name).map(|offset| at + offset) {
            at = start + name.len();
            let stands_alone = html[..start].ends_with(|c: char| c.is_whitespace());
            let Some(quote) = html[at..range.end].chars().next().filter(|c| matches!(c, '"' | '\'')) else {
                continue;
            };
            let value = at + 1;
            let Some(length) = html[value..range.end].find(quote) else { break };
            if stands_alone {
                found.push(trimmed(html, value..value + length));
            }
            at = value + length;
        }
    }
    urls(html, range, found);
}

/// `needle` is ASCII in lower case.
fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

fn unescape(text: &str) -> String {
    text.trim().replace("&amp;", "&")
}

/// `my%20logo.png`; nothing when there is nothing to decode, or what comes out is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(octet) => {
                out.push(octet);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    (out.len() < bytes.len()).then(|| String::from_utf8(out).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &str, hash: &str) -> NamedAsset {
        NamedAsset {
            name: name.into(),
            hash: hash.into(),
            content_type: if name.ends_with(".pdf") { "application/pdf" } else { "image/png" }.into(),
            size: 9,
            width: 1,
            height: 1,
            inline: false,
        }
    }

    fn placed(html: &str, draft: &Draft) -> (String, Vec<Asset>, Vec<Problem>) {
        let options = CompileOptions {
            assets: vec![
                asset("a.png", "A"),
                asset("my logo.png", "B"),
                asset("https://x.example/c.png?a=1&b=2", "C"),
                asset("terms.pdf", "D"),
            ],
            ..CompileOptions::default()
        };
        let (mut images, mut warnings) = (Vec::new(), Vec::new());
        let source = Source::new("html", html.to_owned());
        let text = place(&source, draft, &options, &mut images, &mut warnings).text;
        (text, images, warnings)
    }

    /// The same with marks written as `⟦n⟧`.
    fn shown(html: &str) -> String {
        let mut text = placed(html, &Draft::default()).0;
        for number in 0..5 {
            text = text.replace(&marks::image(number), &format!("⟦{number}⟧"));
        }
        text
    }

    #[test]
    fn references_of_all_kinds_become_marks() {
        for (html, expected) in [
            ("<img src='a.png'>", "<img src='⟦0⟧'>"),
            ("<IMG SRC=assets/a.png>", "<IMG SRC=⟦0⟧>"),
            ("<img src=\" ./assets/a.png?v=2 \">", "<img src=\" ⟦0⟧ \">"),
            ("<img src=\"my%20logo.png\">", "<img src=\"⟦0⟧\">"),
            ("<img src=\"my logo.png\">", "<img src=\"⟦0⟧\">"),
            ("<img src=\"https://x.example/c.png?a=1&amp;b=2\">", "<img src=\"⟦0⟧\">"),
            ("<td background=a.png>", "<td background=⟦0⟧>"),
            ("<p style=\"background: URL( 'a.png' ) x\">", "<p style=\"background: URL( '⟦0⟧' ) x\">"),
            ("<p style='a:url(&quot;a.png&quot;)'>", "<p style='a:url(&quot;⟦0⟧&quot;)'>"),
            ("<style>p{a:url(a.png)}</style>", "<style>p{a:url(⟦0⟧)}</style>"),
            ("<img src=x: srcset=\"a.png 1x, my%20logo.png 2x\">", "<img src=x: srcset=\"⟦0⟧ 1x, ⟦1⟧ 2x\">"),
            (
                "<!--[if mso]><v:fill src=\"a.png\" /><![endif]-->",
                "<!--[if mso]><v:fill src=\"⟦0⟧\" /><![endif]-->",
            ),
            (
                "<p>{{ x }}<img alt='{{ y }}' src='a.png'>{{ z }}",
                "<p>{{ x }}<img alt='{{ y }}' src='⟦0⟧'>{{ z }}",
            ),
            ("<!-- <img src='a.png'> -->", "<!-- <img src='a.png'> -->"),
            ("<a href='a.png'>a.png</a>", "<a href='a.png'>a.png</a>"),
        ] {
            assert_eq!(shown(html), expected);
        }
    }

    #[test]
    fn a_file_is_in_the_snapshot_once() {
        let draft = Draft { image_inline: vec!["assets/a.png".into()], ..Draft::default() };
        let (_, images, warnings) =
            placed("<img src=a.png><img src='my logo.png'><img src=assets/a.png>", &draft);
        let seen: Vec<_> = images.iter().map(|image| (image.name.as_str(), image.inline)).collect();
        assert_eq!(seen, [("a.png", true), ("my logo.png", false)]);
        assert!(warnings.is_empty());
        let all = Draft { image_mode: ImageChoice::Inline, ..Draft::default() };
        assert!(placed("<img src=a.png>", &all).1[0].inline);
    }

    #[test]
    fn what_nothing_answers_is_said_at_its_place_once() {
        let html = "<img src='https://y.example/x.png'>\n<img src='{{ photo }}'><img src='cid:x'><img src=''>\n \
                    <img src='b.png'><img src='b.png'><img src=terms.pdf><img src='data:image/png;base64,AA'>";
        let (text, images, warnings) = placed(html, &Draft::default());
        assert_eq!((text.as_str(), images.len()), (html, 0));
        let seen: Vec<_> = warnings.iter().map(|w| (w.line, w.message.split(',').next().unwrap())).collect();
        assert_eq!(seen[0], (3, "there is no file b.png"));
        assert_eq!(seen[1], (3, "the file terms.pdf is no image"));
        assert_eq!(seen.len(), 3);
        let all = Draft { image_mode: ImageChoice::Inline, ..Draft::default() };
        assert!(placed(html, &all).2[0].message.contains("was not fetched"));
    }
}
