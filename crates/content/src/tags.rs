//! Finds template tags without evaluating them, and hides them from HTML tools.
//!
//! Tags follow minijinja's lexer: strings inside a tag may hold its end mark, `{% raw %}` lasts to
//! `{% endraw %}`. A tag that does not end lasts to the end of the source; minijinja reports it.

use std::ops::Range;

/// Characters that stand for hidden tags: a plane for private use, whose characters no text uses.
const HIDDEN_FIRST: u32 = 0xF_0000;
/// Tags that can be hidden in one source.
const HIDDEN_MAX: usize = 0xFFFD;

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// `{{ … }}`
    Expression,
    /// `{% … %}`
    Statement,
    /// `{# … #}`
    Comment,
    /// `{% raw %} … {% endraw %}` with what is between.
    Raw {
        /// The text that stands for itself.
        inner: (usize, usize),
    },
}

/// A tag in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub range: Range<usize>,
    pub kind: TagKind,
    /// False when the source ends inside it.
    pub closed: bool,
}

/// All tags of a source, in order.
pub(crate) fn scan(source: &str) -> Vec<Tag> {
    let bytes = source.as_bytes();
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let start = at + found;
        let (kind, end_mark) = match bytes.get(start + 1) {
            Some(b'{') => (TagKind::Expression, "}}"),
            Some(b'%') => (TagKind::Statement, "%}"),
            Some(b'#') => (TagKind::Comment, "#}"),
            _ => {
                at = start + 1;
                continue;
            }
        };
        let end = match kind {
            TagKind::Comment => source[start + 2..].find(end_mark).map(|found| start + 2 + found + 2),
            _ => end_of_tag(source, start + 2, end_mark),
        };
        let Some(end) = end else {
            tags.push(Tag { range: start..source.len(), kind, closed: false });
            break;
        };
        let tag = if kind == TagKind::Statement && word(&source[start..end]) == "raw" {
            raw_tag(source, start, end)
        } else {
            Tag { range: start..end, kind, closed: true }
        };
        at = tag.range.end;
        tags.push(tag);
    }
    tags
}

/// The text of a tag without its marks and blanks.
pub(crate) fn inner(tag_source: &str) -> &str {
    let inside = tag_source.get(2..tag_source.len().saturating_sub(2)).unwrap_or_default();
    inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim()
}

/// A statement's first word.
pub(crate) fn word(tag_source: &str) -> &str {
    inner(tag_source).split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The first end mark outside strings.
fn end_of_tag(source: &str, from: usize, end_mark: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut quote = None;
    let mut at = from;
    while at < bytes.len() {
        match quote {
            Some(_) if bytes[at] == b'\\' => at += 1,
            Some(mark) if bytes[at] == mark => quote = None,
            Some(_) => {}
            None if bytes[at] == b'"' || bytes[at] == b'\'' => quote = Some(bytes[at]),
            None if bytes[at..].starts_with(end_mark.as_bytes()) => return Some(at + 2),
            None => {}
        }
        at += 1;
    }
    None
}

fn raw_tag(source: &str, start: usize, open_end: usize) -> Tag {
    let mut at = open_end;
    while let Some(found) = source[at..].find("{%") {
        let close_start = at + found;
        let Some(length) = source[close_start..].find("%}") else { break };
        let close_end = close_start + length + 2;
        if word(&source[close_start..close_end]) == "endraw" {
            let inner = (open_end, close_start);
            return Tag { range: start..close_end, kind: TagKind::Raw { inner }, closed: true };
        }
        at = close_start + 2;
    }
    Tag { range: start..source.len(), kind: TagKind::Raw { inner: (open_end, source.len()) }, closed: false }
}

/// A source whose tags are hidden: each is one character that HTML tools carry along as text.
pub(crate) struct Hidden {
    pub text: String,
    tags: Vec<Tag>,
    /// Offset in `text` and in the source, after each tag.
    offsets: Vec<(usize, usize)>,
}

impl Hidden {
    /// Nothing when the source has more tags than there are characters to hide them, or uses those characters.
    pub fn new(source: &str) -> Option<Hidden> {
        let tags = scan(source);
        if tags.len() > HIDDEN_MAX || source.chars().any(|c| hidden_number(c).is_some()) {
            return None;
        }
        let mut text = String::with_capacity(source.len());
        let mut offsets = Vec::with_capacity(tags.len());
        let mut at = 0;
        for (number, tag) in tags.iter().enumerate() {
            text.push_str(&source[at..tag.range.start]);
            text.push(char::from_u32(HIDDEN_FIRST + number as u32)?);
            at = tag.range.end;
            offsets.push((text.len(), at));
        }
        text.push_str(&source[at..]);
        Some(Hidden { text, tags, offsets })
    }

    /// The tag that a character hides.
    pub fn tag(&self, c: char) -> Option<&Tag> {
        self.tags.get(hidden_number(c)?)
    }

    /// Puts the tags back.
    pub fn restore(&self, text: &str, source: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match self.tag(c) {
                Some(tag) => out.push_str(&source[tag.range.clone()]),
                None => out.push(c),
            }
        }
        out
    }

    /// The offset in the source of an offset in `text`.
    pub fn source_offset(&self, offset: usize) -> usize {
        let before = self.offsets.partition_point(|(hidden, _)| *hidden <= offset);
        match before.checked_sub(1) {
            Some(last) => self.offsets[last].1 + (offset - self.offsets[last].0),
            None => offset,
        }
    }
}

fn hidden_number(c: char) -> Option<usize> {
    (HIDDEN_FIRST..HIDDEN_FIRST + HIDDEN_MAX as u32)
        .contains(&(c as u32))
        .then(|| (c as u32 - HIDDEN_FIRST) as usize)
}

/// Merge tags of another system, `*|FNAME|*`: their ranges.
pub(crate) fn foreign(source: &str) -> Vec<Range<usize>> {
    const LENGTH_MAX: usize = 200;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = source[at..].find("*|").map(|offset| at + offset) {
        at = start + 2;
        let Some(length) = source[at..].find("|*") else { break };
        let name = &source[at..at + length];
        let is_name = !name.is_empty()
            && name.len() <= LENGTH_MAX
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && !name.contains(['\n', '<', '>', '{', '}']);
        if is_name {
            found.push(start..at + length + 2);
            at += length + 2;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        scan(source).into_iter().map(|tag| &source[tag.range]).collect()
    }

    #[test]
    fn tags_end_where_minijinja_ends_them() {
        assert_eq!(texts("a {{ x }} b {% if y %}{# n }} #}{ z }"), ["{{ x }}", "{% if y %}", "{# n }} #}"]);
        assert_eq!(texts("{{ '}}' }}{{ \"\\\"}}\" }}"), ["{{ '}}' }}", "{{ \"\\\"}}\" }}"]);
        assert_eq!(texts("{% raw %}{{ x }}{% endraw %}{{ y }}"), ["{% raw %}{{ x }}{% endraw %}", "{{ y }}"]);
        assert_eq!(texts("a {{ x"), ["{{ x"]);
        assert!(!scan("a {{ x")[0].closed);
        assert_eq!(inner("{%- if x -%}"), "if x");
    }

    #[test]
    fn hidden_tags_come_back_in_their_place() {
        let source = "<p>{{ a }} é {% if b %}x{% endif %}</p>";
        let hidden = Hidden::new(source).unwrap();
        assert_eq!(hidden.restore(&hidden.text, source), source);
        let at = hidden.text.find("</p>").unwrap();
        assert_eq!(hidden.source_offset(at), source.find("</p>").unwrap());
        assert_eq!(hidden.source_offset(1), 1);
        assert!(Hidden::new("\u{F0001}").is_none());
    }

    #[test]
    fn merge_tags_of_another_system() {
        assert_eq!(foreign("Hi *|FNAME|*, *|IF:X|* a *| b |* *||*").len(), 2);
        assert_eq!(foreign("*|A"), []);
    }
}
