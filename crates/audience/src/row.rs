//! Reading recipients by the hundred thousand: the columns that another room's select asks for, and the row they make.

use store::Row;

use crate::error::{Error, Result};
use crate::recipient::{Attributes, FIELDS, Recipient};

/// The names of the texts in the order of [`recipient_columns`], behind the two keys.
const TEXTS: usize = 3 + FIELDS.len();

/// The columns that [`RecipientRow::read`] and [`RecipientRow::fill`] read, for a select in which `recipient` (or `guest`, or
/// `seed`) has this alias:
/// `format!("SELECT w.n, {} FROM work w JOIN recipient r ON r.id = w.recipient", recipient_columns("r"))`.
///
/// [`RecipientRow::COLUMNS`] columns in a fixed order, the same for both dialects.
pub fn recipient_columns(alias: &str) -> String {
    let mut columns = format!(
        "{alias}.id, {alias}.denylisted, {alias}.created_at, {alias}.updated_at, {alias}.email, {alias}.email_key, {alias}.domain"
    );
    for field in FIELDS {
        columns.push_str(&format!(", {alias}.{field}"));
    }
    columns.push_str(&format!(", {alias}.attributes"));
    columns
}

/// The columns that somebody asked for: reading and sending seven texts that no template names is a third of the time of
/// reading a million rows. Always there are id, address, domain and [`ALWAYS`]; what was not asked for reads as empty.
#[derive(Debug, Clone)]
pub struct RecipientColumns {
    /// Places in [`FIELDS`], rising.
    fields: Vec<usize>,
    attributes: bool,
}

/// Fields that decide how a message is written although no template names them: its format, and how dates and numbers look.
const ALWAYS: [&str; 3] = ["language", "time_zone", "email_format"];

impl RecipientColumns {
    /// The columns for these fields and attributes, as templates name them.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> RecipientColumns {
        let mut columns = RecipientColumns { fields: Vec::new(), attributes: false };
        for name in ALWAYS.into_iter().chain(names) {
            let name = if name == "timezone" { "time_zone" } else { name };
            match FIELDS.iter().position(|field| *field == name) {
                Some(field) => columns.fields.push(field),
                None => columns.attributes |= !matches!(name, "email" | "domain"),
            }
        }
        columns.fields.sort_unstable();
        columns.fields.dedup();
        columns
    }

    /// The columns of a select in which `recipient`, or `guest`, which has the same columns, has this alias.
    pub fn sql(&self, alias: &str) -> String {
        let mut columns = format!("{alias}.id, {alias}.email, {alias}.domain");
        for field in &self.fields {
            columns.push_str(&format!(", {alias}.{}", FIELDS[*field]));
        }
        if self.attributes {
            columns.push_str(&format!(", {alias}.attributes"));
        }
        columns
    }

    /// Reads a row of such a select, whose columns begin at 0.
    ///
    /// # Errors
    /// A column that is not there, or damaged attributes.
    pub fn read(&self, row: &Row<'_>) -> Result<RecipientRow> {
        let mut recipient = RecipientRow { id: row.int(0)?, ..RecipientRow::default() };
        let mut asked = self.fields.iter().enumerate().peekable();
        for (i, end) in recipient.ends.iter_mut().enumerate() {
            match i {
                0 => recipient.text.push_str(row.str(1)?),
                // The key is what addresses are compared by; nobody writes mail with it.
                1 => {}
                2 => recipient.text.push_str(row.str(2)?),
                _ => {
                    if let Some((column, _)) = asked.next_if(|(_, field)| **field == i - 3) {
                        recipient.text.push_str(row.str(3 + column)?);
                    }
                }
            }
            *end = place(&recipient.text);
        }
        if self.attributes {
            let json = row.str(3 + self.fields.len())?;
            read_attributes(json, &mut recipient.text, &mut recipient.attributes)?;
        }
        Ok(recipient)
    }
}

/// One recipient in one allocation for all its texts: what an analysis of a million rows can afford. Can be kept and
/// filled again, and can go to another thread.
#[derive(Debug, Clone, Default)]
pub struct RecipientRow {
    /// The recipient's id.
    pub id: i64,
    /// The person does not want to be contacted.
    pub denylisted: bool,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Microseconds UTC.
    pub updated_at: i64,
    /// All texts, one behind the other: the fields, then names and values of the attributes.
    text: String,
    /// Where each of the [`TEXTS`] ends.
    ends: [u32; TEXTS],
    /// Where each attribute's name and value end; each begins where the one before ends.
    attributes: Vec<(u32, u32)>,
}

impl RecipientRow {
    /// How many columns [`recipient_columns`] has.
    pub const COLUMNS: usize = 4 + TEXTS + 1;

    /// Reads the row whose columns begin at `first`.
    pub fn read(row: &Row<'_>, first: usize) -> Result<RecipientRow> {
        let mut recipient = RecipientRow::default();
        recipient.fill(row, first)?;
        Ok(recipient)
    }

    /// Reads the row whose columns begin at `first` into this one, whose memory is used again.
    pub fn fill(&mut self, row: &Row<'_>, first: usize) -> Result<()> {
        self.id = row.int(first)?;
        self.denylisted = row.bool(first + 1)?;
        self.created_at = row.int(first + 2)?;
        self.updated_at = row.int(first + 3)?;
        self.text.clear();
        self.attributes.clear();
        for (i, end) in self.ends.iter_mut().enumerate() {
            self.text.push_str(row.str(first + 4 + i)?);
            *end = place(&self.text);
        }
        read_attributes(row.str(first + 4 + TEXTS)?, &mut self.text, &mut self.attributes)
    }

    /// The address as written: what the envelope uses.
    pub fn email(&self) -> &str {
        self.nth(0)
    }

    /// What the address is compared by.
    pub fn email_key(&self) -> &str {
        self.nth(1)
    }

    /// The address's domain in IDNA's ASCII form.
    pub fn domain(&self) -> &str {
        self.nth(2)
    }

    /// `text`, `html`, a carrier's format, or empty.
    pub fn email_format(&self) -> &str {
        self.nth(TEXTS - 1)
    }

    /// The value of a field or an attribute by the name that templates use; a field goes before an attribute of its name.
    /// `None`: the recipient has no such attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            "email" => Some(self.nth(0)),
            "timezone" => self.get("time_zone"),
            "domain" => Some(self.nth(2)),
            _ => match FIELDS.iter().position(|field| *field == name) {
                Some(i) => Some(self.nth(3 + i)),
                None => self.attribute(name),
            },
        }
    }

    /// The value of an attribute by its name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The attributes with their values, in the order they are stored in.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut from = self.ends[TEXTS - 1];
        self.attributes.iter().map(move |(name_end, value_end)| {
            let pair = (self.slice(from, *name_end), self.slice(*name_end, *value_end));
            from = *value_end;
            pair
        })
    }

    /// Every field and attribute, for a template: `email`, the [`FIELDS`], then the attributes.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = FIELDS.iter().enumerate().map(|(i, name)| (*name, self.nth(3 + i)));
        std::iter::once(("email", self.email())).chain(own).chain(self.attributes())
    }

    /// The same as a record with owned fields.
    pub fn to_recipient(&self) -> Recipient {
        let field = |i: usize| self.nth(3 + i).to_owned();
        Recipient {
            id: self.id,
            email: self.email().to_owned(),
            email_key: self.email_key().to_owned(),
            domain: self.domain().to_owned(),
            first_name: field(0),
            last_name: field(1),
            language: field(2),
            time_zone: field(3),
            country: field(4),
            city: field(5),
            email_format: field(6),
            attributes: self.attributes().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            denylisted: self.denylisted,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn nth(&self, i: usize) -> &str {
        self.slice(if i == 0 { 0 } else { self.ends[i - 1] }, self.ends[i])
    }

    fn slice(&self, from: u32, to: u32) -> &str {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }
}

impl From<&Recipient> for RecipientRow {
    fn from(recipient: &Recipient) -> RecipientRow {
        let mut row = RecipientRow {
            id: recipient.id,
            denylisted: recipient.denylisted,
            created_at: recipient.created_at,
            updated_at: recipient.updated_at,
            ..RecipientRow::default()
        };
        let keys = [&recipient.email, &recipient.email_key, &recipient.domain];
        let texts = keys.into_iter().map(String::as_str).chain((0..FIELDS.len()).map(|i| recipient.field(i)));
        for (text, end) in texts.zip(row.ends.iter_mut()) {
            row.text.push_str(text);
            *end = place(&row.text);
        }
        for (name, value) in &recipient.attributes {
            row.text.push_str(name);
            let name_end = place(&row.text);
            row.text.push_str(value);
            row.attributes.push((name_end, place(&row.text)));
        }
        row
    }
}

/// A place in a row's text. Rows are far below 4 GB: `limits::ATTRIBUTES_MAX` values of `ATTRIBUTE_LEN_MAX`.
fn place(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Appends names and values of a flat JSON object of texts, without making a value for each.
fn read_attributes(json: &str, text: &mut String, ends: &mut Vec<(u32, u32)>) -> Result<()> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(open) = bytes[at..].iter().position(|b| *b == b'"') {
        let after_name = json_text(json, at + open, text)?;
        let name_end = place(text);
        let Some(open) = bytes[after_name..].iter().position(|b| *b == b'"') else { return Err(damaged()) };
        at = json_text(json, after_name + open, text)?;
        ends.push((name_end, place(text)));
    }
    Ok(())
}

/// Appends the JSON text whose opening quote is at `open`; returns the place behind its closing quote.
fn json_text(json: &str, open: usize, text: &mut String) -> Result<usize> {
    let bytes = json.as_bytes();
    let mut at = open + 1;
    let mut escaped = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => at += 1,
            None => return Err(damaged()),
        }
    }
    if escaped {
        let whole = json.get(open..=at).ok_or_else(damaged)?;
        text.push_str(&serde_json::from_str::<String>(whole).map_err(|_| damaged())?);
    } else {
        text.push_str(json.get(open + 1..at).ok_or_else(damaged)?);
    }
    Ok(at + 1)
}

fn damaged() -> Error {
    Error::Store(store::Error::Type("recipient.attributes is not an object of texts".to_owned()))
}

/// Attributes from their stored text.
pub(crate) fn attributes_of(json: &str) -> Result<Attributes> {
    serde_json::from_str(json).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_in_place() {
        let mut text = String::from("x");
        let mut ends = Vec::new();
        read_attributes(r#"{"a": "1", "b\"":"", "c":"é\n\u0001\\"}"#, &mut text, &mut ends).unwrap();
        assert_eq!(text, "xa1b\"cé\n\u{1}\\");
        assert_eq!(ends, [(2, 3), (5, 5), (6, 11)]);
        let mut ends = Vec::new();
        read_attributes("{}", &mut text, &mut ends).unwrap();
        assert!(ends.is_empty());
        for damaged in [r#"{"a"#, r#"{"a":1}"#, r#"{"a":"\x"}"#] {
            assert!(read_attributes(damaged, &mut String::new(), &mut Vec::new()).is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_row_has_one_column_for_each_read() {
        assert_eq!(recipient_columns("r").split(',').count(), RecipientRow::COLUMNS);
    }
}
