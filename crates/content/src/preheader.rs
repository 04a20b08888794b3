//! The preheader: hidden text at the start of the HTML, which inboxes show behind the subject.

use std::ops::Range;

use crate::tags::{Hidden, scan};

/// Hidden in every way that mail programs are known to need.
const OPEN: &str = "<div style=\"display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all\">";
const CLOSE: &str = "</div>";

/// Puts the preheader (text with template tags) behind `<body …>`, or in front of an HTML without one. Returns the
/// new source and the range that was put in.
pub(crate) fn insert(html: &str, preheader: &str) -> (String, Range<usize>) {
    if preheader.trim().is_empty() {
        return (html.to_owned(), 0..0);
    }
    let at = body_start(html);
    let block = format!("{OPEN}{}{CLOSE}", escape_between_tags(preheader));
    (format!("{}{block}{}", &html[..at], &html[at..]), at..at + block.len())
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

    #[test]
    fn it_stands_behind_the_body_tag() {
        let (html, range) = insert("<html><BODY class='a>b'>x</body>", "You & {{ name | default('<me>') }}");
        assert!(html.starts_with("<html><BODY class='a>b'><div style="), "{html}");
        assert!(html[range].contains(">You &amp; {{ name | default('<me>') }}</div>"));
        assert!(html.ends_with("x</body>"));
    }

    #[test]
    fn without_a_body_it_stands_first() {
        let (html, range) = insert("<p>x</p>", "y");
        assert_eq!(range.start, 0);
        assert!(html.ends_with("</div><p>x</p>"));
        assert_eq!(insert("<p>x</p>", " "), ("<p>x</p>".into(), 0..0));
    }
}
