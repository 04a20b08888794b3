//! Elements that an HTML source opens and never closes, or closes and never opened.

use crate::tags::{Hidden, TagKind, word};

/// Elements that HTML lets stand open, or that are empty: nothing can be told of them.
const FREE: [&str; 34] = [
    "area", "base", "body", "br", "col", "colgroup", "dd", "dt", "embed", "head", "hr", "html", "img",
    "input", "li", "link", "meta", "optgroup", "option", "p", "param", "rp", "rt", "source", "tbody", "td",
    "tfoot", "th", "thead", "tr", "track", "wbr", "svg", "path",
];
/// Elements whose content is no HTML.
const RAW_TEXT: [&str; 4] = ["style", "script", "title", "textarea"];
/// Open elements that are kept; deeper ones are not looked at.
const DEPTH_MAX: usize = 300;

/// The first fault: its offset in the source, and a sentence. A source whose conditions may open one of several tags
/// is not judged.
pub(crate) fn first_fault(source: &str) -> Option<(usize, String)> {
    let hidden = Hidden::new(source)?;
    let chooses = |c: char| {
        hidden.tag(c).is_some_and(|tag| {
            tag.kind == TagKind::Statement
                && matches!(word(&source[tag.range.clone()]), "if" | "else" | "elif" | "for")
        })
    };
    if hidden.text.chars().any(chooses) {
        return None;
    }
    let html = &hidden.text;
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    while let Some(start) = html[at..].find('<').map(|found| at + found) {
        let rest = &html[start..];
        if rest.starts_with("<!--") {
            match rest.find("-->") {
                Some(length) => at = start + length + 3,
                None => return Some((hidden.source_offset(start), "this comment has no end".to_owned())),
            }
            continue;
        }
        let closes = rest.starts_with("</");
        let name_start = start + 1 + usize::from(closes);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
        let name_end =
            html[name_start..].find(|c: char| !is_name(c)).map_or(html.len(), |length| name_start + length);
        let name = &html[name_start..name_end];
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            at = start + 1;
            continue;
        }
        let Some(end) = tag_end(html, name_end) else {
            return Some((hidden.source_offset(start), format!("the tag <{name} has no end")));
        };
        at = end;
        let is_free = FREE.iter().any(|free| name.eq_ignore_ascii_case(free));
        if is_free || html[..end].ends_with("/>") {
            continue;
        }
        if !closes {
            if open.len() < DEPTH_MAX {
                open.push((start, name));
            }
            if RAW_TEXT.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
                match end_of_raw_text(html, end, name) {
                    Some(end) => at = end,
                    None => return Some((hidden.source_offset(start), format!("<{name}> is not closed"))),
                }
            }
        } else if let Some(known) = open.iter().rposition(|(_, other)| other.eq_ignore_ascii_case(name)) {
            if let Some((inner, other)) = open.get(known + 1) {
                return Some((
                    hidden.source_offset(*inner),
                    format!("<{other}> is not closed before </{name}>"),
                ));
            }
            open.truncate(known);
        } else if open.len() < DEPTH_MAX {
            return Some((hidden.source_offset(start), format!("</{name}> closes nothing")));
        }
    }
    open.first().map(|(start, name)| (hidden.source_offset(*start), format!("<{name}> is not closed")))
}

/// The offset behind a tag's `>`.
fn tag_end(html: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    for (offset, octet) in html.as_bytes()[from..].iter().enumerate() {
        match (quote, octet) {
            (Some(mark), octet) if mark == octet => quote = None,
            (None, b'"' | b'\'') => quote = Some(octet),
            (None, b'>') => return Some(from + offset + 1),
            _ => {}
        }
    }
    None
}

fn end_of_raw_text(html: &str, from: usize, name: &str) -> Option<usize> {
    let mut at = from;
    while let Some(found) = html[at..].find("</").map(|found| at + found) {
        let rest = &html[found + 2..];
        if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Some(found);
        }
        at = found + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_where_they_begin() {
        let cases = [
            ("<div><b>x</div>", Some((5, "<b> is not closed before </div>"))),
            ("<table><tr><td>x</table>", None),
            ("<div>{{ a }}<a href='x'>y", Some((0, "<div> is not closed"))),
            ("é<p>x</span>", Some((6, "</span> closes nothing"))),
            ("<a href=\"x>y</a>", Some((0, "the tag <a has no end"))),
            ("<p><!-- x", Some((3, "this comment has no end"))),
            ("<style>a > b { } </style><script>'</div>'</script><title>a < b</title><br/><v:rect />", None),
            ("{% if x %}<div class=a>{% else %}<div>{% endif %}</div>", None),
            ("a < b <3 <", None),
        ];
        for (html, expected) in cases {
            let found = first_fault(html);
            let found = found.as_ref().map(|(at, message)| (*at, message.as_str()));
            assert_eq!(found, expected, "{html}");
        }
    }

    #[test]
    fn much_of_it_takes_no_time() {
        assert!(first_fault(&"<div>".repeat(200_000)).is_some());
        assert!(first_fault(&"</div>".repeat(200_000)).is_some());
        assert!(first_fault(&"<a ".repeat(200_000)).is_some());
        assert!(first_fault(&"<style>".repeat(100_000)).is_some());
    }
}
