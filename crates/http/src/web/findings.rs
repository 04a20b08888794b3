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

#[derive(Template)]
#[template(path = "delivery_findings.html")]
struct List {
    problems: Vec<Shown>,
    warnings: Vec<Shown>,
}

/// The list as a fragment.
pub fn list(problems: &[Problem], warnings: &[Problem]) -> Result<String, Fault> {
    let list = List { problems: Shown::all(problems), warnings: Shown::all(warnings) };
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
    fn only_sources_have_lines() {
        let at = |part: &str| Problem { line: 2, column: 7, ..Problem::new(part, "wrong") };
        let html = Shown::of(&at("html"));
        assert!(html.line == 2 && html.place.contains('7'));
        let subject = Shown::of(&at("subject"));
        assert!(subject.line == 0 && subject.place.is_empty());
    }
}
