//! Rule `mobile`: Japanese handsets can show what they get. It has nothing to say where no recipient has one.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::EndOfAnalysis,
    order: 30,
    level: Level::Warning,
    summary: "Japanese handsets can show what they get: tags, sizes and images. Only where the target has some.",
    why: "Handsets of Japanese carriers show a small part of HTML and refuse messages above their size. The chapter on Japanese mobiles lists what each of them takes.",
    hint: "Write the part for mobiles in a condition on email_format, or choose simple HTML for all.",
    check,
    breaks: |facts| {
        facts.mobiles[0].problems = vec![crate::MobileProblem {
            part: "html".into(),
            line: 7,
            column: 3,
            text: "<table> is not shown".into(),
        }]
    },
};

const NAME: &str = "mobile";

fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mobile in &facts.mobiles {
        for problem in &mobile.problems {
            let whom = match mobile.recipients {
                1 => "1 recipient".to_owned(),
                count => format!("{count} recipients"),
            };
            let text = format!("{} ({whom} of {})", problem.text, mobile.format);
            let finding = Finding::new(NAME, Level::Warning, text).in_part(&problem.part);
            findings.push(match problem.line {
                0 => finding,
                line => finding.at(line, problem.column),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MobileFact, MobileProblem};

    fn with(problems: &[(u32, &str)]) -> Vec<Finding> {
        let problem = |(line, text): &(u32, &str)| MobileProblem {
            part: "html".into(),
            line: *line,
            column: 3,
            text: (*text).into(),
        };
        let problems = problems.iter().map(problem).collect();
        let mobile = MobileFact { format: "Deco-mail".into(), recipients: 2, problems };
        check(&Facts { mobiles: vec![mobile], ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(check(&Facts::default()), []);
        assert_eq!(with(&[]), []);
    }

    #[test]
    fn fails() {
        let found = with(&[(7, "no <table>"), (0, "too large")]);
        assert_eq!(found[0].text, "no <table> (2 recipients of Deco-mail)");
        assert_eq!((found[0].line, found[0].column, found[0].level), (Some(7), Some(3), Level::Warning));
        assert_eq!(found[1].line, None);
    }
}
