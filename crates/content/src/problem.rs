//! What is wrong with a template or an evaluation, and where.

use serde::{Deserialize, Serialize};

/// Where in the author's source. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl Place {
    /// The place of a byte offset in a source; an offset behind the end is the end.
    pub fn of(source: &str, offset: usize) -> Place {
        let before = &source[..source.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            line: before.bytes().filter(|octet| *octet == b'\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
        }
    }
}

/// The lines of a source, to find many places in it.
pub(crate) struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(source: &'a str) -> Lines<'a> {
        let ends = source.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at + 1);
        Lines { source, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// As [`Place::of`].
    pub fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let column = Place::of(&self.source[start..], offset - start).column;
        Place { line: line as u32, column }
    }
}

/// An error or a warning about content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `html`, `text`, `subject`, `from_name`, `from_address`, `reply_to`, `error_address`, `preheader`, `label`, `code`, `headers`, or `message` for the whole.
    pub part: String,
    /// Line from 1; 0 where there is no place.
    pub line: u32,
    /// Column from 1, in characters; 0 where there is no place.
    pub column: u32,
    /// What is wrong, one sentence.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem with a whole part.
    pub fn new(part: &str, message: impl Into<String>) -> Problem {
        Problem { part: part.to_owned(), line: 0, column: 0, message: message.into(), hint: String::new() }
    }

    /// The same with a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Problem {
        self.line = place.line;
        self.column = place.column;
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = hint.into();
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.part)?;
        if self.line > 0 {
            write!(f, ", line {}, column {}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let source = "ab\nçd\n";
        assert_eq!(Place::of(source, 0), Place { line: 1, column: 1 });
        assert_eq!(Place::of(source, 5), Place { line: 2, column: 2 });
        assert_eq!(Place::of(source, 4), Place { line: 2, column: 1 });
        assert_eq!(Place::of(source, 99), Place { line: 3, column: 1 });
        for offset in 0..8 {
            assert_eq!(Lines::new(source).place(offset), Place::of(source, offset));
        }
    }

    #[test]
    fn a_problem_reads_as_a_sentence() {
        let problem =
            Problem::new("html", "unknown field").at(Place { line: 3, column: 9 }).hint("check the name");
        assert_eq!(problem.to_string(), "html, line 3, column 9: unknown field (check the name)");
    }
}
