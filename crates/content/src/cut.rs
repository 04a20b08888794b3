//! Cuts a template's static text into segments once, and an evaluation into pieces.

use std::ops::Range;

use message::Piece;
use minijinja::{OutputSpan, OutputSpanKind};

use crate::marks::{Bit, Met, bits, literal};
use crate::tags::{TagKind, scan};

/// The static segments of a source, and where they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub segments: Vec<String>,
    /// Static text with links: segments and links in turn.
    pieces: Vec<Piece>,
    stretches: Vec<Stretch>,
}

/// Static text between two tags.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    /// In the source; ascending.
    range: Range<usize>,
    /// In `Cut::pieces`.
    pieces: Range<usize>,
}

impl Cut {
    /// Text between tags, trimmed where a tag says `-`, as minijinja trims it. A range that differs from minijinja's
    /// is never found again, and its text becomes a literal: larger, and still right.
    pub fn new(source: &str) -> Cut {
        let mut cut = Cut { segments: Vec::new(), pieces: Vec::new(), stretches: Vec::new() };
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
        if kept.is_empty() {
            return;
        }
        let first = self.pieces.len();
        let mut joins = false;
        for bit in bits(kept) {
            let text = match bit {
                Bit::Link(kind) => {
                    self.pieces.push(Piece::Link(kind));
                    joins = false;
                    continue;
                }
                // A source has no code marks: they are made while it is evaluated.
                Bit::Broken | Bit::Code(_) => continue,
                Bit::Brace => "{",
                Bit::Text(text) => text,
            };
            match self.segments.last_mut() {
                Some(last) if joins => last.push_str(text),
                _ => {
                    self.pieces.push(Piece::Static(self.segments.len() as u32));
                    self.segments.push(text.to_owned());
                    joins = true;
                }
            }
        }
        self.stretches.push(Stretch { range: start..start + kept.len(), pieces: first..self.pieces.len() });
    }

    /// The pieces of a static span. `next` is the stretch after the one found before: usually this one.
    fn find(&self, span: &OutputSpan, next: &mut usize) -> Option<&[Piece]> {
        let range = span.source_range();
        let expected = self.stretches.get(*next).is_some_and(|stretch| stretch.range.start == range.start);
        let at = if expected {
            *next
        } else {
            self.stretches.binary_search_by_key(&range.start, |stretch| stretch.range.start).ok()?
        };
        *next = at + 1;
        let stretch = &self.stretches[at];
        (stretch.range == range && span.output_range().len() == range.len())
            .then(|| &self.pieces[stretch.pieces.clone()])
    }

    /// The pieces of an evaluation: static segments by number, everything else literal, link marks as links; and what
    /// marks stand in the literals.
    pub fn pieces(&self, output: &str, spans: &[OutputSpan]) -> (Vec<Piece>, Met) {
        // Most messages have each segment and link once, and a value between two of them.
        let mut pieces = Vec::with_capacity(self.pieces.len() + spans.len());
        let mut met = Met::default();
        let mut at = 0;
        let mut next = 0;
        for span in spans {
            let range = span.output_range();
            literal(&mut pieces, &output[at..range.start], &mut met);
            match if span.kind() == OutputSpanKind::Raw { self.find(span, &mut next) } else { None } {
                Some(found) => pieces.extend_from_slice(found),
                None => literal(&mut pieces, &output[range.clone()], &mut met),
            }
            at = range.end;
        }
        literal(&mut pieces, &output[at..], &mut met);
        (pieces, met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use crate::source::Source;
    use crate::template::{Escape, PartTemplate, Setting};
    use message::LinkKind;

    fn pieces(source: &str) -> (Cut, Vec<Piece>) {
        let template =
            PartTemplate::new(Source::new("html", source.to_owned()), Escape::Html, &Setting::default())
                .unwrap();
        let fields = Fields::from_pairs([("name", "A & B"), ("empty", "")]);
        let (output, spans) = template.render(&fields.as_value()).unwrap();
        let cut = Cut::new(source);
        let (pieces, _) = cut.pieces(&output, &spans);
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
    fn a_link_cuts_static_text() {
        let source =
            format!("<a href=\"{}\">{{{{ name }}}} {}", crate::marks::tracked(7), crate::marks::OPEN);
        let (cut, found) = pieces(&source);
        assert_eq!(cut.segments, ["<a href=\"", "\">", " "]);
        assert_eq!(found[1], Piece::Link(LinkKind::Tracked(7)));
        assert_eq!(found[4..], [Piece::Static(2), Piece::Link(LinkKind::Open)]);
    }

    #[test]
    fn a_macro_gives_a_literal() {
        let (_, found) = pieces("{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(name) }}{{ name }}");
        assert_eq!(found, [Piece::Literal("<b>A &amp; B</b>A &amp; B".into())]);
    }
}
