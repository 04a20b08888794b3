//! One row of a file: whether it can be taken, and the values it gives.

use store::Value;

use super::header::{Column, Header};
use super::records::{Cells, Fault};
use crate::attribute;
use crate::limits::{COLUMNS_MAX, RAW_LEN_MAX, ROW_LEN_MAX};
use crate::recipient::{self, Address, FIELDS, push_json_text};

/// Values of one row: `email_key`, `email`, `domain`, the [`FIELDS`], `attributes`. NULL: the file has no such column, and an
/// existing recipient keeps what it has. An empty cell is a value.
pub(super) type Staged = Vec<Value>;

/// Where `attributes` is in a [`Staged`].
pub(super) const ATTRIBUTES: usize = 3 + FIELDS.len();

/// The key of the row's address, or why the row is rejected.
pub(super) fn check(header: &Header, cells: Cells<'_, usize>) -> Result<String, String> {
    let wanted = header.columns.len();
    if cells.len() < wanted || (wanted..cells.len()).any(|i| !cells.get(i).is_empty()) {
        return Err(format!("the row has {} cells, the header {wanted}", cells.len()));
    }
    let address = Address::parse(cells.get(header.email)).map_err(|e| e.to_string())?;
    for (i, column) in header.columns.iter().enumerate() {
        let fault = match column {
            Column::Email | Column::Ignored => None,
            Column::Field(field) => recipient::fault(*field, cells.get(i)),
            Column::Attribute(_) => attribute::fault(cells.get(i)),
        };
        if let Some(fault) = fault {
            return Err(format!("{}: {fault}", header.names[i]));
        }
    }
    Ok(address.key)
}

/// Why a record that could not be read is rejected.
pub(super) fn reason(fault: Fault, encoding: &str) -> String {
    match fault {
        Fault::TooLong => format!("the row is longer than {ROW_LEN_MAX} bytes"),
        Fault::TooManyCells => format!("the row has more than {COLUMNS_MAX} cells"),
        Fault::Malformed => format!("the row is not valid {encoding}; is the file in another encoding?"),
        Fault::OpenQuote => "a quote is opened in this row and never closed".to_owned(),
    }
}

/// The values of a row that passed [`check`].
pub(super) fn staged(header: &Header, key: &str, cells: Cells<'_, usize>) -> Staged {
    let mut values = Vec::with_capacity(ATTRIBUTES + 2);
    let domain = key.rsplit('@').next().unwrap_or_default();
    values.push(Value::Text(key.to_owned()));
    values.push(Value::Text(cells.get(header.email).trim().to_owned()));
    values.push(Value::Text(domain.to_owned()));
    for (i, column) in header.fields.iter().enumerate() {
        values.push(match column {
            Some(column) => Value::Text(recipient::clean(i, cells.get(*column))),
            None => Value::Null,
        });
    }
    values.push(Value::Text(attributes(header, cells)));
    values
}

/// The attributes in the stored form (see `recipient::attributes_json`).
fn attributes(header: &Header, cells: Cells<'_, usize>) -> String {
    let mut json = String::with_capacity(64 + header.attributes.len() * 24);
    json.push('{');
    for (_, name, column) in &header.attributes {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(name);
        let value = cells.get(*column);
        if value.contains('\r') {
            push_json_text(&mut json, &attribute::clean(value));
        } else {
            push_json_text(&mut json, value);
        }
    }
    json.push('}');
    json
}

/// The row for the report: as CSV again, shortened, with U+FFFD for what no database text can hold.
pub(super) fn raw(cells: Cells<'_, usize>) -> String {
    let mut row = String::new();
    if cells.len() == 0 {
        row.push_str(cells.text);
    }
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            row.push(',');
        }
        if row.len() > RAW_LEN_MAX {
            break;
        }
        // A character more than the row may have: the cut below then says that something is missing.
        let cell = super::shortened(cell, RAW_LEN_MAX + 4);
        if cell.contains([',', '"', '\n', '\r']) {
            row.push('"');
            row.push_str(&cell.replace('"', "\"\""));
            row.push('"');
        } else {
            row.push_str(cell);
        }
    }
    let cut = super::shortened(&row, RAW_LEN_MAX);
    let mut raw: String = cut
        .chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c })
        .collect();
    if cut.len() < row.len() {
        raw.push('…');
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> (String, Vec<usize>) {
        let mut ends = Vec::new();
        let mut text = String::new();
        for cell in cells {
            text.push_str(cell);
            ends.push(text.len());
        }
        (text, ends)
    }

    fn checked(cells: &[&str]) -> Result<String, String> {
        let header = Header::new("email,first_name,points".split(','), &[]).unwrap();
        let (text, ends) = row(cells);
        check(&header, Cells { text: &text, ends: &ends })
    }

    #[test]
    fn rows_are_checked() {
        assert_eq!(checked(&["  A@B.Example ", "x", ""]).unwrap(), "a@b.example");
        assert!(checked(&["a@b.example", "x", "", "", ""]).is_ok(), "empty cells at the end are let through");
        assert!(checked(&["a@b.example", "=HYPERLINK(1)", "two\nlines"]).is_ok());
        for (cells, part) in [
            (&["a@b.example", "x"][..], "2 cells"),
            (&["a@b.example", "x", "1", "y"], "4 cells"),
            (&["", "x", "1"], "no address"),
            (&["ab.example", "x", "1"], "no @"),
            (&["a@b.example", "x\u{1b}", "1"], "first_name: the control character U+001B"),
            (&["a@b.example", "x", "\0"], "points: the control character U+0000"),
            (&["a@b.example\r\nBcc: c@d.example", "x", "1"], "email"),
        ] {
            assert!(checked(cells).unwrap_err().contains(part), "{cells:?}: {:?}", checked(cells));
        }
    }

    #[test]
    fn values_are_cleaned() {
        let header = Header::new("points,email,first_name,a".split(','), &[]).unwrap();
        let (text, ends) = row(&["7", " A@b.example ", " Ann\nMarie", "x\r\n\"y\""]);
        let values = staged(&header, "a@b.example", Cells { text: &text, ends: &ends });
        let text = |s: &str| Value::Text(s.to_owned());
        assert_eq!(
            values[..5],
            [text("a@b.example"), text("A@b.example"), text("b.example"), text("Ann Marie"), Value::Null]
        );
        assert_eq!(values[ATTRIBUTES], text(r#"{"a":"x\n\"y\"","points":"7"}"#));
    }

    #[test]
    fn a_raw_row_is_short_and_printable() {
        let (text, ends) = row(&["a,b", "\0x", "q\""]);
        assert_eq!(raw(Cells { text: &text, ends: &ends }), "\"a,b\",\u{fffd}x,\"q\"\"\"");
        let (text, ends) = row(&[&"é".repeat(RAW_LEN_MAX)]);
        let raw = raw(Cells { text: &text, ends: &ends });
        assert!(raw.len() <= RAW_LEN_MAX + 3 && raw.ends_with("é…"));
    }
}
