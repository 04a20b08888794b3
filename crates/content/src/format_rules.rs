//! Rules by domain: how messages for some receivers are built. `compile` turns each into a variant of the snapshot.

use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, binds};

use crate::error::{Error, Result};
use crate::limits::{FORMAT_RULES_MAX, NAME_LEN_MAX};
use crate::problem::Problem;
use crate::room::Content;

/// One rule. The first by `position` whose mask matches the recipient's domain decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FormatRule {
    /// Its number; 0 for one that is not kept yet.
    pub id: i64,
    /// Lower is asked first.
    pub position: i64,
    /// Mask of the recipient's domain in IDNA ASCII: `*` is any run of characters, `?` any one.
    pub mask: String,
    /// `docomo`, `softbank`, `au` (the words of `email_format`), or empty.
    pub carrier: String,
    /// `alternative`, `html`, `text`, or empty: as the recipient prefers.
    pub structure: String,
    /// multipart/related also without an image.
    pub related: bool,
    /// Images go into the message, whatever the delivery chose.
    pub inline_images: bool,
    /// The AMP part is sent to these receivers.
    pub amp: bool,
    /// Charset of subject and names, by its MIME name; empty: the delivery's.
    pub subject_charset: String,
    /// Charset of the HTML part; empty: the delivery's.
    pub html_charset: String,
    /// `auto`, `7bit`, `8bit`, `quoted-printable` or `base64`; empty is `auto`.
    pub html_transfer: String,
    /// Charset of the text part; empty: the delivery's.
    pub text_charset: String,
    /// As `html_transfer`.
    pub text_transfer: String,
}

/// Values of `carrier`.
pub const CARRIERS: [&str; 4] = ["", "docomo", "softbank", "au"];
/// Values of `structure`.
pub const STRUCTURES: [&str; 4] = ["", "alternative", "html", "text"];
/// Values of `html_transfer` and `text_transfer`.
pub const TRANSFERS: [&str; 5] = ["auto", "7bit", "8bit", "quoted-printable", "base64"];

impl FormatRule {
    /// Does the mask match a domain in IDNA ASCII, lower case?
    #[must_use]
    pub fn matches(&self, domain: &str) -> bool {
        address::matches_mask(&self.mask, domain)
    }
}

/// The rule that decides for a domain. `rules` in the order of [`Content::format_rules`].
#[must_use]
pub fn rule_for<'a>(rules: &'a [FormatRule], domain: &str) -> Option<&'a FormatRule> {
    rules.iter().find(|rule| rule.matches(domain))
}

const COLUMNS: &str = "id, position, mask, carrier, structure, related, inline_images, amp, subject_charset, \
                       html_charset, html_transfer, text_charset, text_transfer";

impl Content {
    /// All rules, in the order in which they are asked.
    ///
    /// # Errors
    /// `Store`.
    pub async fn format_rules(&self) -> Result<Vec<FormatRule>> {
        let sql = format!("SELECT {COLUMNS} FROM format_rule ORDER BY position, id");
        self.store.read(move |tx| tx.query(&sql, &[], read)).await
    }

    /// Keeps a rule: a new one when its `id` is 0, else in the place of the one with that number. Answers it with
    /// its number.
    ///
    /// # Errors
    /// `Refused` names the field; `NotFound`; `Store`.
    pub async fn save_format_rule(&self, rule: FormatRule) -> Result<FormatRule> {
        let mut rule = checked(rule)?;
        self.store
            .write(Lane::Urgent, move |tx| {
                if rule.id == 0 {
                    rule.id = insert(tx, &rule)?;
                } else if update(tx, &rule)? == 0 {
                    return Err(Error::NotFound("format rule"));
                }
                Ok(rule)
            })
            .await
    }

    /// Removes a rule; answers whether it was there.
    ///
    /// # Errors
    /// `Store`.
    pub async fn delete_format_rule(&self, id: i64) -> Result<bool> {
        let deleted = self
            .store
            .write(Lane::Urgent, move |tx| tx.execute("DELETE FROM format_rule WHERE id = $1", &binds![id]))
            .await?;
        Ok(deleted > 0)
    }
}

fn insert(tx: &mut Tx<'_>, rule: &FormatRule) -> Result<i64> {
    let count = tx.query_one::<_, Error>("SELECT count(*) FROM format_rule", &[], |row| Ok(row.int(0)?))?;
    if count >= FORMAT_RULES_MAX as i64 {
        return Err(Error::refused("format_rule", format!("there are {FORMAT_RULES_MAX} rules already")));
    }
    let sql = "INSERT INTO format_rule (position, mask, carrier, structure, related, inline_images, amp, \
               subject_charset, html_charset, html_transfer, text_charset, text_transfer) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    Ok(tx.insert_id(sql, &values(rule))?)
}

fn update(tx: &mut Tx<'_>, rule: &FormatRule) -> Result<u64> {
    let sql = "UPDATE format_rule SET position = $1, mask = $2, carrier = $3, structure = $4, related = $5, \
               inline_images = $6, amp = $7, subject_charset = $8, html_charset = $9, html_transfer = $10, \
               text_charset = $11, text_transfer = $12 WHERE id = $13";
    let mut binds = values(rule);
    binds.push(rule.id.into());
    Ok(tx.execute(sql, &binds)?)
}

fn values(rule: &FormatRule) -> Vec<store::Value> {
    binds![
        rule.position,
        rule.mask.as_str(),
        rule.carrier.as_str(),
        rule.structure.as_str(),
        rule.related,
        rule.inline_images,
        rule.amp,
        rule.subject_charset.as_str(),
        rule.html_charset.as_str(),
        rule.html_transfer.as_str(),
        rule.text_charset.as_str(),
        rule.text_transfer.as_str()
    ]
}

fn checked(mut rule: FormatRule) -> Result<FormatRule> {
    rule.mask = rule.mask.trim().to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '?' | '.' | '-');
    if rule.mask.is_empty() || rule.mask.len() > NAME_LEN_MAX || !rule.mask.chars().all(fits) {
        return Err(Problem::new("mask", format!("`{}` is no mask of domains", rule.mask.escape_debug()))
            .hint("write `example.jp` or `*.example.jp`, an international name in its ASCII form")
            .into());
    }
    for transfer in [&mut rule.html_transfer, &mut rule.text_transfer] {
        if transfer.is_empty() {
            "auto".clone_into(transfer);
        }
    }
    let words: [(&str, &str, &[&str]); 4] = [
        ("carrier", &rule.carrier, &CARRIERS),
        ("structure", &rule.structure, &STRUCTURES),
        ("html_transfer", &rule.html_transfer, &TRANSFERS),
        ("text_transfer", &rule.text_transfer, &TRANSFERS),
    ];
    for (field, word, known) in words {
        if !known.contains(&word) {
            let known = known.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(", ");
            return Err(Problem::new(field, format!("`{}` is not known", word.escape_debug()))
                .hint(format!("one of {known}"))
                .into());
        }
    }
    let charsets = [
        ("subject_charset", &rule.subject_charset),
        ("html_charset", &rule.html_charset),
        ("text_charset", &rule.text_charset),
    ];
    for (field, name) in charsets {
        if name.len() > NAME_LEN_MAX || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return Err(Error::refused(field, format!("`{}` is no encoding", name.escape_debug())));
        }
    }
    Ok(rule)
}

fn read(row: &Row<'_>) -> Result<FormatRule> {
    Ok(FormatRule {
        id: row.int(0)?,
        position: row.int(1)?,
        mask: row.text(2)?,
        carrier: row.text(3)?,
        structure: row.text(4)?,
        related: row.bool(5)?,
        inline_images: row.bool(6)?,
        amp: row.bool(7)?,
        subject_charset: row.text(8)?,
        html_charset: row.text(9)?,
        html_transfer: row.text(10)?,
        text_charset: row.text(11)?,
        text_transfer: row.text(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_checked_by_field() {
        let rule = FormatRule { mask: " *.Example.jp ".into(), ..FormatRule::default() };
        let saved = checked(rule.clone()).unwrap();
        assert_eq!((saved.mask.as_str(), saved.html_transfer.as_str()), ("*.example.jp", "auto"));
        for (field, wrong) in [
            ("mask", FormatRule { mask: "a b".into(), ..rule.clone() }),
            ("carrier", FormatRule { carrier: "kddi".into(), ..rule.clone() }),
            ("structure", FormatRule { structure: "multipart".into(), ..rule.clone() }),
            ("text_transfer", FormatRule { text_transfer: "binary".into(), ..rule.clone() }),
            ("subject_charset", FormatRule { subject_charset: "utf 8".into(), ..rule.clone() }),
        ] {
            match checked(wrong) {
                Err(Error::Refused(problem)) => assert_eq!(problem.part, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
