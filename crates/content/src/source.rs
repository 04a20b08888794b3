//! A source on its way from the author to the template engine, with the way back: every step keeps where its bytes
//! come from, so that an error that is found last still names the author's line.

use std::ops::Range;
use std::sync::Arc;

use crate::problem::{Lines, Place, Problem};
use crate::tags::Hidden;

/// Where a stretch of a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The author's text, at this byte.
    Author(usize),
    /// A reusable block, included at this byte of the author's text.
    Block(Arc<str>, usize),
    /// Another part of the draft, which we put in.
    Part(&'static str),
}

/// From `start` on, the source comes from `origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    start: usize,
    origin: Origin,
    /// The origin moves along with the offset: the text was copied.
    moves: bool,
}

/// A source and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Which part the author wrote it in.
    pub part: &'static str,
    /// As it is now.
    pub text: String,
    author: Arc<str>,
    /// Ascending, the first at 0.
    chunks: Vec<Chunk>,
}

/// A change of a source: the bytes of `range` become `with`.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub range: Range<usize>,
    pub with: Vec<Bit>,
}

/// What an edit puts in.
#[derive(Debug, Clone)]
pub(crate) enum Bit {
    /// Text of ours; it comes from the place of the edit.
    Ours(String),
    /// Text of the same source, moved here.
    Moved(Range<usize>),
    /// A block's text.
    Block(Arc<str>, String),
    /// Text that another part of the draft gave.
    Part(&'static str, String),
}

impl Edit {
    /// Replaces a range by text.
    pub fn text(range: Range<usize>, text: impl Into<String>) -> Edit {
        Edit { range, with: vec![Bit::Ours(text.into())] }
    }
}

impl Source {
    /// What the author wrote.
    pub fn new(part: &'static str, text: String) -> Source {
        let chunk = Chunk { start: 0, origin: Origin::Author(0), moves: true };
        Source { part, author: Arc::from(text.as_str()), text, chunks: vec![chunk] }
    }

    /// The same with edits. Of edits that overlap, the first counts.
    pub fn edited(&self, mut edits: Vec<Edit>) -> Source {
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut next = Source {
            part: self.part,
            author: Arc::clone(&self.author),
            text: String::with_capacity(self.text.len() + 256),
            chunks: Vec::with_capacity(self.chunks.len() + 2 * edits.len()),
        };
        let mut at = 0;
        for edit in edits {
            if edit.range.start < at {
                continue;
            }
            next.copy(self, at..edit.range.start);
            for bit in edit.with {
                next.put(self, edit.range.start, bit);
            }
            at = edit.range.end;
        }
        next.copy(self, at..self.text.len());
        if next.chunks.is_empty() {
            next.chunks.push(Chunk { start: 0, origin: Origin::Author(0), moves: false });
        }
        next
    }

    fn put(&mut self, from: &Source, place: usize, bit: Bit) {
        let (origin, text) = match bit {
            Bit::Moved(range) => return self.copy(from, range),
            Bit::Ours(text) => (from.origin(place).0, text),
            Bit::Part(part, text) => (Origin::Part(part), text),
            Bit::Block(name, text) => match from.origin(place).0 {
                // A block inside a block: the author sees the outer one.
                origin @ (Origin::Block(..) | Origin::Part(_)) => (origin, text),
                Origin::Author(offset) => (Origin::Block(name, offset), text),
            },
        };
        if !text.is_empty() {
            self.chunks.push(Chunk { start: self.text.len(), origin, moves: false });
            self.text.push_str(&text);
        }
    }

    fn copy(&mut self, from: &Source, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let shift = |offset: usize| offset - range.start + self.text.len();
        let first = from.chunks.partition_point(|chunk| chunk.start <= range.start).saturating_sub(1);
        let mut copied = Vec::new();
        for chunk in &from.chunks[first..] {
            if chunk.start >= range.end {
                break;
            }
            let start = chunk.start.max(range.start);
            let origin = match &chunk.origin {
                Origin::Author(offset) if chunk.moves => Origin::Author(offset + (start - chunk.start)),
                origin => origin.clone(),
            };
            copied.push(Chunk { start: shift(start), origin, moves: chunk.moves });
        }
        self.chunks.extend(copied);
        self.text.push_str(&from.text[range]);
    }

    /// What a tool made of this source whose tags were hidden: each tag knows where it comes from, and text comes
    /// from the tag before it.
    pub fn carried(&self, hidden: &Hidden, output: &str) -> Source {
        let mut next = Source {
            part: self.part,
            author: Arc::clone(&self.author),
            text: String::with_capacity(output.len()),
            chunks: vec![Chunk { start: 0, origin: Origin::Author(0), moves: false }],
        };
        for c in output.chars() {
            match hidden.tag(c) {
                Some(tag) => next.copy(self, tag.range.clone()),
                None => next.text.push(c),
            }
        }
        next
    }

    fn origin(&self, offset: usize) -> (Origin, bool) {
        let at = self.chunks.partition_point(|chunk| chunk.start <= offset).saturating_sub(1);
        let chunk = &self.chunks[at];
        match &chunk.origin {
            Origin::Author(from) if chunk.moves => (Origin::Author(from + (offset - chunk.start)), true),
            origin => (origin.clone(), chunk.moves),
        }
    }

    /// The part and the place in it that a byte comes from, and the block that it stands in.
    pub fn place(&self, offset: usize) -> (&'static str, Place, Option<Arc<str>>) {
        match self.origin(offset).0 {
            Origin::Author(offset) => (self.part, Place::of(&self.author, offset), None),
            Origin::Block(name, offset) => (self.part, Place::of(&self.author, offset), Some(name)),
            Origin::Part(part) => (part, Place { line: 1, column: 1 }, None),
        }
    }

    /// A problem at a byte of this source.
    pub fn problem(&self, offset: usize, message: impl Into<String>) -> Problem {
        let (part, place, block) = self.place(offset);
        let message = message.into();
        let message = match block {
            Some(name) => format!("in the block `{name}`: {message}"),
            None => message,
        };
        Problem::new(part, message).at(place)
    }

    /// Places of many bytes.
    pub fn places(&self) -> Places<'_> {
        Places { source: self, lines: Lines::new(&self.author) }
    }
}

/// Finds places fast.
pub(crate) struct Places<'a> {
    source: &'a Source,
    lines: Lines<'a>,
}

impl Places<'_> {
    /// As [`Source::place`], without the block.
    pub fn of(&self, offset: usize) -> Place {
        match self.source.origin(offset).0 {
            Origin::Author(offset) | Origin::Block(_, offset) => self.lines.place(offset),
            Origin::Part(_) => Place { line: 1, column: 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_keep_the_way_back() {
        let source = Source::new("html", "one\ntwo {{ x }} three\nfour".into());
        let two = source.text.find("two").unwrap();
        let tag = source.text.find("{{ x }}").unwrap();
        let edited = source.edited(vec![
            Edit {
                range: tag..tag + 7,
                with: vec![
                    Bit::Ours("{{ (".into()),
                    Bit::Moved(tag + 3..tag + 4),
                    Bit::Ours(") | urlencode }}".into()),
                ],
            },
            Edit::text(two..two + 3, "TWO and more"),
            Edit { range: 0..0, with: vec![Bit::Part("preheader", "pre ".into())] },
        ]);
        assert_eq!(edited.text, "pre one\nTWO and more {{ (x) | urlencode }} three\nfour");
        let place = |needle: &str| {
            let (part, place, _) = edited.place(edited.text.find(needle).unwrap());
            (part, place.line, place.column)
        };
        assert_eq!(place("pre"), ("preheader", 1, 1));
        assert_eq!(place("TWO"), ("html", 2, 1));
        assert_eq!(place("and"), ("html", 2, 1));
        assert_eq!(place("x) |"), ("html", 2, 8));
        assert_eq!(place("four"), ("html", 3, 1));
        let again = edited.edited(vec![Edit::text(0..4, "")]);
        let (_, place, _) = again.place(again.text.find("three").unwrap());
        assert_eq!((place.line, place.column), (2, 13));
    }

    #[test]
    fn a_block_names_itself() {
        let source = Source::new("html", "a\n {% include 'b' %} c".into());
        let range = 3..source.text.len() - 2;
        let with = vec![Bit::Block("b".into(), "{{ oops }}".into())];
        let edited = source.edited(vec![Edit { range, with }]);
        let problem = edited.problem(edited.text.find("oops").unwrap(), "unknown");
        assert_eq!(problem.to_string(), "html, line 2, column 2: in the block `b`: unknown");
    }

    #[test]
    fn tags_that_a_tool_carried_know_where_they_come_from() {
        let source = Source::new("html", "<p>\n{{ a }}</p>\n<p>{{ b }}</p>".into());
        let hidden = Hidden::new(&source.text).unwrap();
        let output = hidden.text.replace("<p>", "<p style=\"margin:0\">").replace('\n', "");
        let carried = source.carried(&hidden, &output);
        let (_, place, _) = carried.place(carried.text.find("b }}").unwrap());
        assert_eq!((place.line, place.column), (3, 7));
    }
}
