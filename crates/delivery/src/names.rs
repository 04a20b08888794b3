//! Label and code as templates, evaluated when the analysis begins: `Weekly {{ now() | date("%V") }}`.
//!
//! They stand in lists, reports and notices, never in a message, so no recipient's field can be asked for: `id` is the
//! delivery's number, `owner` whose it is, `code` (in the label) the code as evaluated. An edit shows them as written
//! again.

use content::{Columns, FieldValue, Fields, Problem, render_text};
use store::{Lane, binds};
use typology::Level;

use crate::analyse::{Work, of_problem};
use crate::facts;
use crate::types::{Delivery, Error, Result};

/// Longest label and code after evaluation, in characters.
const NAME_CHARS_MAX: usize = 500;

impl Work<'_> {
    /// Evaluates label and code; a problem becomes a finding.
    pub async fn names(&mut self) -> Result<()> {
        let (id, now_us) = (self.delivery.id, self.this.now_us());
        match names(self.delivery, now_us) {
            Ok((label, code)) => {
                if (&label, &code) == (&self.delivery.label, &self.delivery.code) {
                    return Ok(());
                }
                self.this
                    .store
                    .write(Lane::Urgent, move |tx| {
                        let binds = binds![id, label, code];
                        tx.execute("UPDATE delivery SET label = $2, code = $3 WHERE id = $1", &binds)?;
                        Ok::<_, Error>(())
                    })
                    .await
            }
            Err(problem) => {
                self.findings.push(of_problem(&problem, Level::Error));
                Ok(())
            }
        }
    }
}

fn names(delivery: &Delivery, now_us: i64) -> Result<(String, String), Problem> {
    let definition = &delivery.definition;
    if !definition.content.personalise {
        return Ok((delivery.label.clone(), delivery.code.clone()));
    }
    let columns = Columns::new(vec!["id".into(), "owner".into(), "code".into()], Vec::new());
    let fields = |code: &str| {
        let number = delivery.id.to_string();
        let values = [number.as_str(), delivery.owner.as_str(), code].map(FieldValue::from);
        Fields::new(&columns, values.to_vec(), String::new())
    };
    let render = |part, source: &str, code: &str| {
        let text = render_text(part, source, &fields(code), now_us)?.trim().to_owned();
        match text.chars().count() > NAME_CHARS_MAX {
            true => Err(Problem::new(part, format!("is longer than {NAME_CHARS_MAX} characters"))),
            false => Ok(text),
        }
    };
    let code = render("code", &definition.code, "")?;
    let label = render("label", &definition.label, &code)?;
    if label.is_empty() {
        let hint = "give the delivery a name that operators will know";
        return Err(Problem::new("label", "the label is empty after evaluation").hint(hint));
    }
    Ok((format!("{}{label}", facts::prefix(definition, delivery.proof_no)), code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_790_000_000_000_000;

    fn delivery(label: &str, code: &str) -> Delivery {
        let mut delivery = crate::records::blank(label);
        delivery.id = 7;
        delivery.owner = "ann".into();
        delivery.definition.code = code.into();
        delivery
    }

    #[test]
    fn label_and_code_are_templates_over_what_is_known_of_the_delivery() {
        let named = names(&delivery("Weekly {{ code }} of {{ owner }}", "W{{ id }}"), NOW_US);
        assert_eq!(named.unwrap(), ("Weekly W7 of ann".to_owned(), "W7".to_owned()));
    }

    #[test]
    fn a_proof_has_its_prefix_before_the_evaluated_label() {
        let mut proof = delivery("Weekly {{ id }}", "");
        proof.proof_no = 2;
        assert_eq!(names(&proof, NOW_US).unwrap().0, "Proof #2: Weekly 7");
    }

    #[test]
    fn a_field_of_a_recipient_and_an_empty_label_are_problems() {
        assert_eq!(names(&delivery("{{ first_name }}", ""), NOW_US).unwrap_err().part, "label");
        assert_eq!(names(&delivery("{{ code }}", ""), NOW_US).unwrap_err().part, "label");
        assert_eq!(names(&delivery("x", "{{"), NOW_US).unwrap_err().part, "code");
    }
}
