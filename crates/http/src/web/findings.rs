//! Errors and warnings about a content, as a page shows them: in a list, and at their line in the editor.

use askama::Template;
use content::Problem;
use serde_json::{Value, json};

use super::{fault::Fault, filters, said::said, texts};

/// Parts that are one line: there, a line and a column say nothing.
const LINES: [&str; 7] =
    ["from_name", "from_address", "reply_to", "error_address", "subject", "preheader", "attachments"];

/// A problem as the list shows it.
pub struct Shown {
    /// The part it is in.
    pub part: String,
    /// The part in words.
    pub part_name: String,
    /// Line from 1; 0: none.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// `line 2, column 7`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Shown {
    /// A problem of the room `content`.
    pub fn of(problem: &Problem) -> Shown {
        let line = if LINES.contains(&problem.part.as_str()) { 0 } else { problem.line };
        let place = match line {
            0 => String::new(),
            line => texts::text_ss("content-place", &line.to_string(), &problem.column.to_string()),
        };
        Shown {
            part: problem.part.clone(),
            part_name: texts::pick("part", &problem.part),
            line,
            column: problem.column,
            place,
            message: said("content", &problem.message),
            hint: said("content", &problem.hint),
        }
    }

    /// Several.
    pub fn all<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Vec<Shown> {
        problems.into_iter().map(Shown::of).collect()
    }
}

/// Findings that differ in a name or a number only: the first is shown, the others can be opened.
pub struct Alike<T> {
    /// The first of them.
    pub first: T,
    /// The others; empty: there is none like it.
    pub rest: Vec<T>,
}

/// From so many alike findings on they stand together.
const ALIKE_MIN: usize = 3;
/// Beginnings that are shorter say nothing: octets.
const BEGINNING_MIN: usize = 12;

/// Puts neighbours with the same key together.
pub fn alike<T, K: PartialEq>(items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<Alike<T>> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let own = key(&item);
        match groups.last_mut() {
            Some((last, members)) if *last == own => members.push(item),
            _ => groups.push((own, vec![item])),
        }
    }
    let together = |(_, members): (K, Vec<T>)| {
        let few = members.len() < ALIKE_MIN;
        let mut members = members.into_iter();
        let mut shown = Vec::new();
        while let Some(first) = members.next() {
            let rest = if few { Vec::new() } else { members.by_ref().collect() };
            shown.push(Alike { first, rest });
        }
        shown
    };
    groups.into_iter().flat_map(together).collect()
}

/// What alike sentences of a room (in English) have in common: all before the first name or number. Sentences that begin
/// with one are like none but themselves.
pub fn beginning(sentence: &str) -> &str {
    let varies = |char: char| char.is_ascii_digit() || matches!(char, '<' | '"' | '`');
    match sentence.find(varies) {
        Some(end) if end >= BEGINNING_MIN => &sentence[..end],
        _ => sentence,
    }
}

/// Warnings as the list shows them: one that looks alike at thirty places is one. Errors all stand for themselves.
pub fn warnings<'a>(found: impl IntoIterator<Item = &'a Problem>) -> Vec<Alike<Shown>> {
    let key = |problem: &&Problem| {
        (beginning(&problem.message).to_owned(), problem.part.clone(), problem.hint.clone())
    };
    let shown =
        |alike: Alike<&Problem>| Alike { first: Shown::of(alike.first), rest: Shown::all(alike.rest) };
    alike(found, key).into_iter().map(shown).collect()
}

#[derive(Template)]
#[template(path = "delivery_findings.html")]
struct List {
    problems: Vec<Shown>,
    warnings: Vec<Alike<Shown>>,
}

/// The list as a fragment.
pub fn list(problems: &[Problem], warnings: &[Problem]) -> Result<String, Fault> {
    let list = List { problems: Shown::all(problems), warnings: self::warnings(warnings) };
    list.render().map_err(|error| Fault::internal(&error))
}

/// The same as data, for the editor's marks.
pub fn marks(problems: &[Problem], warnings: &[Problem]) -> Value {
    let mark = |level: &'static str| {
        move |problem: &Problem| {
            json!({
                "part": problem.part, "line": problem.line, "column": problem.column,
                "message": said("content", &problem.message), "hint": said("content", &problem.hint), "level": level,
            })
        }
    };
    problems.iter().map(mark("error")).chain(warnings.iter().map(mark("warning"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_that_differ_in_a_name_or_number_stand_together() {
        let tag = |carrier: &str, tag: &str| Problem {
            line: 4,
            ..Problem::new("html", format!("{carrier} does not know the tag <{tag}> (2 times)"))
        };
        let found = [
            tag("Deco-mail", "meta"),
            tag("Deco-mail", "tr"),
            tag("Deco-mail", "td"),
            tag("Decore Mail", "tr"),
            tag("Decore Mail", "td"),
            Problem::new("html", "`x` is not a field"),
            Problem::new("html", "`x` is not a field"),
            Problem::new("html", "`x` is not a field"),
            Problem::new("html", "`y` is not a field"),
        ];
        let shown = warnings(&found);
        let counts: Vec<_> = shown.iter().map(|alike| alike.rest.len()).collect();
        assert_eq!(counts, [2, 0, 0, 2, 0], "two are no crowd");
        assert!(shown[0].rest[1].message.contains("<td>"), "each is still told");
    }

    #[test]
    fn only_sources_have_lines() {
        let at = |part: &str| Problem { line: 2, column: 7, ..Problem::new(part, "wrong") };
        let html = Shown::of(&at("html"));
        assert!(html.line == 2 && html.place.contains('7'));
        let subject = Shown::of(&at("subject"));
        assert!(subject.line == 0 && subject.place.is_empty());
    }
}
