//! What we put into an HTML: the preheader, hidden text at its start which inboxes show behind the subject, and the
//! open pixel at its end.

use crate::marks;
use crate::source::{Bit, Edit};
use crate::tags::{Hidden, scan};

/// Hidden in every way that mail programs are known to need.
const OPEN: &str = "<div style=\"display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all\">";
const CLOSE: &str = "</div>";

/// The edit that puts the preheader (text with template tags) behind `<body …>`, or in front of an HTML without one.
pub(crate) fn insertion(html: &str, preheader: &str) -> Option<Edit> {
    if preheader.trim().is_empty() {
        return None;
    }
    let at = body_start(html);
    let block = format!("{OPEN}{}{CLOSE}", escape_between_tags(preheader));
    Some(Edit { range: at..at, with: vec![Bit::Part("preheader", block)] })
}

/// The edit that puts a proof's banner (a template) where the preheader goes; it comes behind that one.
pub(crate) fn banner(html: &str, banner: &str) -> Edit {
    let at = body_start(html);
    Edit { range: at..at, with: vec![Bit::Ours(banner.to_owned())] }
}

/// The edit that puts the open pixel in front of `</body>`, or at the end of an HTML without one.
pub(crate) fn pixel(html: &str) -> Edit {
    let hidden = Hidden::new(html);
    let end = hidden.as_ref().and_then(|hidden| {
        let lower = hidden.text.to_ascii_lowercase();
        let at = lower.rfind("</body").or_else(|| lower.rfind("</html"))?;
        Some(hidden.source_offset(at))
    });
    let at = end.unwrap_or(html.len());
    Edit::text(
        at..at,
        format!("<img src=\"{}\" width=\"1\" height=\"1\" border=\"0\" alt=\"\">", marks::OPEN),
    )
}

/// The offset behind the body's start tag.
fn body_start(html: &str) -> usize {
    let Some(hidden) = Hidden::new(html) else { return 0 };
    let lower = hidden.text.to_ascii_lowercase();
    let mut at = 0;
    while let Some(start) = lower[at..].find("<body").map(|found| at + found) {
        at = start + 5;
        if !lower[at..].starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()) {
            continue;
        }
        let mut quote = None;
        for (offset, c) in lower[at..].char_indices() {
            match quote {
                Some(mark) if c == mark => quote = None,
                Some(_) => {}
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c == '>' => return hidden.source_offset(at + offset + 1),
                None => {}
            }
        }
    }
    0
}

fn escape_between_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for tag in scan(text) {
        out.push_str(&escape(&text[at..tag.range.start]));
        out.push_str(&text[tag.range.clone()]);
        at = tag.range.end;
    }
    out.push_str(&escape(&text[at..]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn insert(html: &str, preheader: &str) -> String {
        let source = Source::new("html", html.to_owned());
        source.edited(insertion(html, preheader).into_iter().collect()).text
    }

    #[test]
    fn it_stands_behind_the_body_tag() {
        let html = insert("<html><BODY class='a>b'>x</body>", "You & {{ name | default('<me>') }}");
        assert!(html.starts_with("<html><BODY class='a>b'><div style="), "{html}");
        assert!(html.contains(">You &amp; {{ name | default('<me>') }}</div>"));
        assert!(html.ends_with("x</body>"));
    }

    #[test]
    fn without_a_body_it_stands_first() {
        assert!(insert("<p>x</p>", "y").ends_with("</div><p>x</p>"));
        assert_eq!(insert("<p>x</p>", " "), "<p>x</p>");
    }

    #[test]
    fn the_pixel_stands_last() {
        let with = |html: &str| Source::new("html", html.to_owned()).edited(vec![pixel(html)]).text;
        assert!(with("{{ a }}<body>x</BODY></html>").contains("alt=\"\"></BODY></html>"));
        assert!(with("x{{ a }}</html>").contains("alt=\"\"></html>"));
        assert!(
            with("x{{ '</body>' }}")
                .ends_with("' }}<img src=\"\u{FDD2}\" width=\"1\" height=\"1\" border=\"0\" alt=\"\">")
        );
    }
}
