//! Cuts a template's static text into segments once, and an evaluation into pieces.

use message::{LinkKind, Piece};
use minijinja::{OutputSpan, OutputSpanKind};

use crate::tags::{TagKind, scan};
use crate::template::{MIRROR_MARK, UNSUBSCRIBE_MARK};

/// The static segments of a source, and where they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub segments: Vec<String>,
    /// Start and end in the source, ascending; the index is the segment's number.
    ranges: Vec<(usize, usize)>,
}

impl Cut {
    /// Text between tags, trimmed where a tag says `-`, as minijinja trims it. A range that differs from minijinja's
    /// is never found again, and its text becomes a literal: larger, and still right.
    pub fn new(source: &str) -> Cut {
        let mut cut = Cut { segments: Vec::new(), ranges: Vec::new() };
        let mut at = 0;
        let mut trim_start = false;
        for tag in scan(source) {
            let text = &source[tag.range.clone()];
            let trims_before = text.as_bytes().get(2) == Some(&b'-');
            cut.push(source, at, tag.range.start, trim_start, trims_before);
            if let TagKind::Raw { inner: (start, end) } = tag.kind {
                let open_trims = source[..start].ends_with("-%}");
                let close_trims = source[end..].starts_with("{%-");
                cut.push(source, start, end, open_trims, close_trims);
            }
            at = tag.range.end;
            trim_start = tag.closed && text.len() > 4 && text.as_bytes()[text.len() - 3] == b'-';
        }
        cut.push(source, at, source.len(), trim_start, false);
        cut
    }

    fn push(&mut self, source: &str, start: usize, end: usize, trim_start: bool, trim_end: bool) {
        let text = &source[start..end];
        let start = if trim_start { end - text.trim_start().len() } else { start };
        let kept = &source[start..end];
        let kept = if trim_end { kept.trim_end() } else { kept };
        if !kept.is_empty() {
            self.segments.push(kept.to_owned());
            self.ranges.push((start, start + kept.len()));
        }
    }

    fn number(&self, span: &OutputSpan) -> Option<u32> {
        let range = span.source_range();
        let at = self.ranges.binary_search_by_key(&range.start, |(start, _)| *start).ok()?;
        (self.ranges[at].1 == range.end && span.output_range().len() == range.len()).then_some(at as u32)
    }

    /// The pieces of an evaluation: static segments by number, everything else literal, link marks as links.
    pub fn pieces(&self, output: &str, spans: &[OutputSpan]) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(spans.len());
        let mut at = 0;
        for span in spans {
            let range = span.output_range();
            literal(&mut pieces, &output[at..range.start]);
            match if span.kind() == OutputSpanKind::Raw { self.number(span) } else { None } {
                Some(number) => pieces.push(Piece::Static(number)),
                None => literal(&mut pieces, &output[range.clone()]),
            }
            at = range.end;
        }
        literal(&mut pieces, &output[at..]);
        pieces
    }
}

/// Adds literal text, joined to a literal before it; link marks become links.
fn literal(pieces: &mut Vec<Piece>, text: &str) {
    let mut rest = text;
    while !rest.is_empty() {
        let mark = rest.find([UNSUBSCRIBE_MARK, MIRROR_MARK]);
        let (before, after) = rest.split_at(mark.unwrap_or(rest.len()));
        if !before.is_empty() {
            match pieces.last_mut() {
                Some(Piece::Literal(last)) => last.push_str(before),
                _ => pieces.push(Piece::Literal(before.to_owned())),
            }
        }
        let mut chars = after.chars();
        match chars.next() {
            Some(UNSUBSCRIBE_MARK) => pieces.push(Piece::Link(LinkKind::Unsubscribe)),
            Some(_) => pieces.push(Piece::Link(LinkKind::Mirror)),
            None => {}
        }
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use crate::template::{Escape, PartTemplate};

    fn pieces(source: &str) -> (Cut, Vec<Piece>) {
        let template = PartTemplate::new("html", source.to_owned(), 0..0, Escape::Html, 0).unwrap();
        let fields = Fields::from_pairs([("name", "A & B"), ("empty", "")]);
        let (output, spans) = template.render(&fields.as_value()).unwrap();
        let cut = Cut::new(source);
        let pieces = cut.pieces(&output, &spans);
        (cut, pieces)
    }

    #[test]
    fn static_text_is_found_again_by_its_place() {
        let (cut, found) = pieces("Hello {{ name }}, {% if name %}yes{% else %}no{% endif %}!\n");
        assert_eq!(cut.segments, ["Hello ", ", ", "yes", "no", "!\n"]);
        let literal = Piece::Literal("A &amp; B".into());
        assert_eq!(found, [Piece::Static(0), literal, Piece::Static(1), Piece::Static(2), Piece::Static(4)]);
    }

    #[test]
    fn trimmed_raw_and_looped_text_is_static_too() {
        let (_, found) = pieces(
            "a  {%- if name -%}  b{{- '' }} {% endif %}{% raw -%} {{ x }} {%- endraw %}|{% for i in [1,2] %}z{% endfor %}{# c #}e",
        );
        assert!(found.iter().all(|piece| matches!(piece, Piece::Static(_))), "{found:?}");
    }

    #[test]
    fn links_are_pieces() {
        let (_, found) = pieces("<a href=\"{{ unsubscribe_url }}\">x</a>{{ mirror_url }}");
        assert_eq!(
            found,
            [
                Piece::Static(0),
                Piece::Link(LinkKind::Unsubscribe),
                Piece::Static(1),
                Piece::Link(LinkKind::Mirror)
            ]
        );
    }

    #[test]
    fn a_macro_gives_a_literal() {
        let (_, found) = pieces("{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(name) }}{{ name }}");
        assert_eq!(found, [Piece::Literal("<b>A &amp; B</b>A &amp; B".into())]);
    }
}
