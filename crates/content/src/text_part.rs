//! The text part made from the HTML, when the author wrote none. Template tags are carried over, so that the text
//! says to each recipient what the HTML says.

use html2text::config;
use html2text::render::TextDecorator;
use lol_html::{RewriteStrSettings, element, rewrite_str};

use crate::tags::{Hidden, TagKind, word};

/// No line of a paragraph is broken here: quoted-printable breaks lines, and mail programs wrap them.
const WIDTH: usize = 100_000;
/// Elements of layout tables. They become `div`, because an HTML parser moves text that stands directly in a table,
/// a loop around rows for one, out of it.
const TABLE_ELEMENTS: &str = "table, thead, tbody, tfoot, tr, td, th, caption";

/// Elements inside each other, above which no text is made: html2text takes time with the square of the depth, and
/// no mail that a person wrote comes near.
const DEPTH_MAX: usize = 400;
/// Largest HTML that a text is made from. Gmail cuts a message at a tenth of it.
const HTML_SIZE_MAX: usize = 1024 * 1024;
/// Elements that are empty, or that the next one of their kind ends: leaving them open nests nothing.
const NOT_NESTING: [&str; 20] = [
    "area", "base", "br", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p", "source",
    "wbr", "html", "head", "body", "style", "!doctype",
];

/// Template source of the text part; nothing when no readable text comes out.
pub(crate) fn generate(html: &str) -> Option<String> {
    if html.len() > HTML_SIZE_MAX {
        return None;
    }
    let hidden = Hidden::new(html)?;
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!(TABLE_ELEMENTS, |tag| {
            tag.set_tag_name("div")?;
            Ok(())
        }))
        .append_element_content_handler(element!("colgroup, col, title", |tag| {
            tag.remove();
            Ok(())
        }));
    let flat = rewrite_str(&hidden.text, settings).ok()?;
    if depth(&flat) > DEPTH_MAX {
        return None;
    }
    let text = config::with_decorator(Plain::default())
        .raw_mode(true)
        .string_from_read(flat.as_bytes(), WIDTH)
        .ok()?;
    let text = tidy(&text, &hidden, html);
    let source = restore(&text, &hidden, html);
    (!source.trim().is_empty()).then_some(source)
}

/// Elements inside each other, counted from the tags alone.
pub(crate) fn depth(html: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for tag in html.split('<').skip(1) {
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '!').unwrap_or(name.len());
        let name = &name[..end];
        if name.is_empty() || NOT_NESTING.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        depth = if closes { depth.saturating_sub(1) } else { depth + 1 };
        deepest = deepest.max(depth);
    }
    deepest
}

/// Trims lines, leaves at most one empty line between paragraphs, and joins a line of nothing but statements to the
/// next one: `{% if … %}` alone on a line would leave an empty one behind.
fn tidy(text: &str, hidden: &Hidden, html: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 1;
    // An include is text that stands somewhere else.
    let is_statement = |c: char| {
        hidden
            .tag(c)
            .is_some_and(|tag| tag.kind != TagKind::Expression && word(&html[tag.range.clone()]) != "include")
    };
    for line in text.lines() {
        let line = line
            .trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{200c}' | '\u{feff}'));
        if line.is_empty() {
            empty += 1;
            if empty == 1 {
                out.push('\n');
            }
        } else if line.chars().all(|c| is_statement(c) || c == ' ') {
            out.extend(line.chars().filter(|c| *c != ' '));
        } else {
            out.push_str(&without_doubled_links(line));
            out.push('\n');
            empty = 0;
        }
    }
    out
}

/// `https://x.example <https://x.example>` says it once.
fn without_doubled_links(line: &str) -> String {
    let mut out = line.to_owned();
    let mut at = 0;
    while let Some(open) = out[at..].find(" <").map(|found| at + found) {
        at = open + 2;
        let Some(length) = out[at..].find('>') else { break };
        let url = &out[at..at + length];
        let bare =
            url.trim_start_matches("https://").trim_start_matches("http://").trim_start_matches("mailto:");
        let bare = bare.trim_end_matches('/');
        if !bare.is_empty() && (out[..open].ends_with(url) || out[..open].ends_with(bare)) {
            out.replace_range(open..at + length + 1, "");
            at = open;
        }
    }
    out
}

/// Puts tags back. Braces that the author wrote as entities are text here as there; so is a brace that comes to stand
/// before a tag.
fn restore(text: &str, hidden: &Hidden, html: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let tag = hidden.tag(c);
        if out.ends_with('{') && (tag.is_some() || matches!(c, '{' | '%' | '#')) {
            out.pop();
            out.push_str("{{ '{' }}");
        }
        match tag {
            Some(tag) => out.push_str(&html[tag.range.clone()]),
            None => out.push(c),
        }
    }
    out
}

/// Plain text: nothing marks bold or headings, links are `text <url>`.
#[derive(Debug, Clone, Default)]
struct Plain {
    urls: Vec<String>,
}

impl TextDecorator for Plain {
    type Annotation = ();

    fn decorate_link_start(&mut self, url: &str) -> (String, ()) {
        self.urls.push(url.trim().to_owned());
        (String::new(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        let url = self.urls.pop().unwrap_or_default();
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if url.is_empty() || url.starts_with('#') || scheme == "javascript" || scheme == "data" {
            String::new()
        } else {
            // In text a blank would end the address.
            format!(" <{}>", url.split_whitespace().collect::<Vec<_>>().join("%20"))
        }
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _src: &str, title: &str) -> (String, ()) {
        (title.trim().to_owned(), ())
    }

    fn header_prefix(&self, _level: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, i: i64) -> String {
        format!("{i}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Plain::default()
    }

    fn decorate_superscript_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_superscript_end(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_links_and_tags_are_kept() {
        let html = "<html><head><title>t</title><style>p { color: red }</style></head><body><h1>Hello {{ name | default(\"you\") }}</h1>\
            <p>See <a href=\"https://x.example/?a={{ id }}&amp;b\">our <b>shop</b></a> or <a href='https://y.example/'>y.example</a>.</p>\
            <ul><li>one</li><li>two</li></ul><p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p></body></html>";
        assert_eq!(
            generate(html).unwrap(),
            "Hello {{ name | default(\"you\") }}\n\nSee our shop <https://x.example/?a={{ id }}&b> or y.example.\n\
             - one\n- two\n\nUnsubscribe <{{ unsubscribe_url }}>\n"
        );
    }

    #[test]
    fn a_loop_around_table_rows_stays_around_them() {
        let html =
            "<table><tbody>{% for item in items %}<tr><td>{{ item }}</td></tr>{% endfor %}</tbody></table>";
        let text = generate(html).unwrap();
        let at = |needle| text.find(needle).unwrap();
        assert!(at("{% for") < at("{{ item }}") && at("{{ item }}") < at("{% endfor"), "{text}");
    }

    #[test]
    fn braces_written_as_entities_stay_text() {
        assert_eq!(generate("<p>&#123;&#123; x }}</p>").unwrap(), "{{ '{' }}{ x }}\n");
        assert_eq!(generate("<p>{<b>{{ x }}</b></p>").unwrap(), "{{ '{' }}{{ x }}\n");
    }

    #[test]
    fn html_that_would_take_minutes_gives_no_text() {
        assert_eq!(generate(&format!("{}x", "<div>".repeat(100_000))), None);
        assert_eq!(generate(&format!("{}x", "<table><tr><td>".repeat(DEPTH_MAX))), None);
        assert_eq!(generate(&"<p>x</p>".repeat(HTML_SIZE_MAX / 8 + 1)), None);
        assert_eq!(generate(&"<p>x<br>".repeat(1_000)).map(|text| text.len()), Some(3_000 - 1));
        assert_eq!(depth("<div><b>x</b></div><p><p><img src='a'><i>"), 2);
    }

    #[test]
    fn an_image_is_its_alternative_text() {
        let html = "<a href='https://x.example'><img src=a.png alt='Shop'></a><img src=b.png>";
        assert_eq!(generate(html).unwrap(), "Shop <https://x.example>\n");
        assert_eq!(generate("<img src=b.png>"), None);
    }
}
