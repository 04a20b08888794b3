//! The manual: `docs/*.md`, embedded and served by the program itself, so that it always fits the version.

use askama::{Template, filters::Safe};
use axum::{extract::Path, response::Response};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use rust_embed::RustEmbed;

use super::{
    fault::Fault,
    filters,
    page::{Desk, Page, Place, show},
};

#[derive(RustEmbed)]
#[folder = "../../docs"]
#[allow_missing = true]
struct Manual;

/// The manual's chapters in reading order; a test compares it with the folder.
const CHAPTERS: [&str; 26] = [
    "getting-started",
    "key-steps",
    "content",
    "images-and-attachments",
    "japanese-mobiles",
    "audience",
    "personalisation",
    "target",
    "typologies",
    "rules",
    "schedule-and-waves",
    "sending-and-retries",
    "sources-and-limits",
    "replies",
    "transport-security",
    "watching",
    "shaping-contest",
    "tracking",
    "ab-tests",
    "domains-and-dns",
    "archive",
    "settings",
    "users-and-audit",
    "api-and-command-line",
    "operations",
    "performance",
];

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    page: Page,
    chapters: Vec<(&'static str, String)>,
    here: &'static str,
    body: Safe<String>,
}

/// `GET /help`: the first chapter.
pub async fn first(desk: Desk) -> Result<Response, Fault> {
    chapter(desk, Path(CHAPTERS[0].to_owned())).await
}

/// `GET /help/{chapter}`.
pub async fn chapter(desk: Desk, Path(name): Path<String>) -> Result<Response, Fault> {
    let name = name.trim_end_matches(".md");
    let here = CHAPTERS.into_iter().find(|chapter| *chapter == name).ok_or(Fault::not_found("chapter"))?;
    let source = source_of(here).ok_or(Fault::not_found("chapter"))?;
    let chapters = CHAPTERS.into_iter().filter_map(|name| Some((name, title(&source_of(name)?)))).collect();
    show(&HelpPage { page: desk.page(Place::Help), chapters, here, body: Safe(render(&source)) })
}

fn source_of(chapter: &str) -> Option<String> {
    let file = Manual::get(&format!("{chapter}.md"))?;
    String::from_utf8(file.data.into_owned()).ok()
}

fn title(source: &str) -> String {
    source.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("").to_owned()
}

/// Markdown to HTML. Raw HTML in the source is shown as text; headings get an id, so that pages can link to them;
/// links between chapters lose their `.md`.
fn render(source: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut events: Vec<Event<'_>> = Parser::new_ext(source, options).map(plain).collect();
    for at in 0..events.len() {
        if !matches!(events[at], Event::Start(Tag::Heading { .. })) {
            continue;
        }
        let words: String = events[at..]
            .iter()
            .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))))
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect();
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[at] {
            *id = Some(anchor(&words).into());
        }
    }
    let mut out = String::with_capacity(source.len() * 2);
    html::push_html(&mut out, events.into_iter());
    out
}

fn plain(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = match dest_url.split_once(".md") {
                Some((chapter, rest)) if CHAPTERS.contains(&chapter) => {
                    format!("/help/{chapter}{rest}").into()
                }
                _ => dest_url,
            };
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        other => other,
    }
}

/// The id of a heading: `Send *again*` -> `send-again`.
pub fn anchor(words: &str) -> String {
    let mut out = String::new();
    for letter in words.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            out.push(letter);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chapters_are_those_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
            .collect();
        let mut listed: Vec<String> = CHAPTERS.iter().map(|name| (*name).to_owned()).collect();
        found.sort();
        listed.sort();
        assert_eq!(found, listed);
    }

    #[test]
    fn raw_html_is_text_and_headings_can_be_linked_to() {
        let out = render("## Send *again*\n\n<script>x</script>\n\n[steps](key-steps.md#proof)");
        assert!(out.contains("<h2 id=\"send-again\">"), "{out}");
        assert!(!out.contains("<script>"), "{out}");
        assert!(out.contains("href=\"/help/key-steps#proof\""), "{out}");
    }

    #[test]
    fn links_between_chapters_lead_somewhere() {
        for chapter in CHAPTERS {
            let source = source_of(chapter).unwrap();
            for (at, _) in source.match_indices("](") {
                let target = &source[at + 2..at + source[at..].find(')').unwrap()];
                let within = format!("{chapter}.md{target}");
                let named = if target.starts_with('#') { &within } else { target };
                let Some((file, anchor_name)) = named.split_once(".md") else {
                    assert!(target.starts_with("http") || target.starts_with('/'), "{chapter}: {target}");
                    continue;
                };
                let other = source_of(file).unwrap_or_else(|| panic!("{chapter}: {target}"));
                if let Some(name) = anchor_name.strip_prefix('#') {
                    assert!(render(&other).contains(&format!("id=\"{name}\"")), "{chapter}: {target}");
                }
            }
        }
    }
}
