//! The header of an imported file: which column is which field.

use crate::attribute_name;
use crate::error::{Error, Result};
use crate::limits::ATTRIBUTES_MAX;
use crate::recipient::{FIELDS, push_json_text};

/// What a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    /// The address.
    Email,
    /// A field by its place in [`FIELDS`].
    Field(usize),
    /// An attribute by its stored name.
    Attribute(String),
    /// Left out on request (`--map COLUMN=`).
    Ignored,
}

/// The columns of a file.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// The columns in the file's order.
    pub columns: Vec<Column>,
    /// The names in the file's order, as written.
    pub names: Vec<String>,
    /// Where the address is.
    pub email: usize,
    /// For each of [`FIELDS`] its column, where the file has one.
    pub fields: [Option<usize>; FIELDS.len()],
    /// The attributes in the order of their names: the name, `"name":` ready for JSON, and the column.
    pub attributes: Vec<(String, String, usize)>,
}

impl Header {
    /// Reads the first record, with the mapping `column -> field` that the user gave.
    ///
    /// # Errors
    /// A mapping that names no column, no or several columns for one field, too many attributes.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, mapping: &[(String, String)]) -> Result<Header> {
        let names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
        for (column, _) in mapping {
            if !names.iter().any(|name| same(name, column)) {
                return Err(Error::File(format!(
                    "the file has no column {column:?}; it has: {}",
                    names.join(", ")
                )));
            }
        }
        let mut columns = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let asked = mapping.iter().find(|(column, _)| same(name, column));
            columns.push(match asked {
                Some((_, field)) => column(field.trim(), i)?,
                None => column(name, i)?,
            });
        }
        check_unique(&columns, &names)?;
        let Some(email) = columns.iter().position(|column| *column == Column::Email) else {
            return Err(Error::File(format!(
                "no column is the address: name one `email`, or map it with COLUMN=email; the file has: {}",
                names.join(", ")
            )));
        };
        let fields = std::array::from_fn(|i| columns.iter().position(|column| *column == Column::Field(i)));
        let mut attributes: Vec<(String, String, usize)> = columns
            .iter()
            .enumerate()
            .filter_map(|(i, column)| match column {
                Column::Attribute(name) => Some((name.clone(), json_name(name), i)),
                _ => None,
            })
            .collect();
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(Error::File(format!(
                "the file has more than {ATTRIBUTES_MAX} columns that become attributes"
            )));
        }
        attributes.sort();
        Ok(Header { columns, names, email, fields, attributes })
    }
}

fn same(name: &str, column: &str) -> bool {
    name.eq_ignore_ascii_case(column.trim())
}

fn json_name(name: &str) -> String {
    let mut json = String::new();
    push_json_text(&mut json, name);
    json.push(':');
    json
}

/// What a name stands for: `E-Mail` and `First name` are fields, too.
pub(super) fn column(name: &str, place: usize) -> Result<Column> {
    if name.is_empty() {
        return Ok(Column::Ignored);
    }
    let stored = attribute_name(name).map_err(|e| Error::File(format!("column {}: {e}", place + 1)))?;
    let lower = stored.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "email" | "e_mail" | "email_address" => Column::Email,
        "timezone" => Column::Field(3),
        lower => match FIELDS.iter().position(|field| *field == lower) {
            Some(i) => Column::Field(i),
            None => Column::Attribute(stored),
        },
    })
}

fn check_unique(columns: &[Column], names: &[String]) -> Result<()> {
    for (i, column) in columns.iter().enumerate() {
        if *column == Column::Ignored {
            continue;
        }
        if let Some(first) = columns[..i].iter().position(|other| other == column) {
            return Err(Error::File(format!(
                "the columns {:?} and {:?} are the same field; map one of them to another name, or to nothing",
                names[first], names[i]
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &str, mapping: &[(&str, &str)]) -> Result<Header> {
        let mapping: Vec<_> = mapping.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Header::new(names.split(','), &mapping)
    }

    #[test]
    fn columns_find_their_fields() {
        let h = header(
            "E-Mail,First name,timezone,Points,VIP status,",
            &[("points", "score"), ("vip status", "")],
        )
        .unwrap();
        let attribute = Column::Attribute("score".into());
        assert_eq!(
            h.columns,
            [Column::Email, Column::Field(0), Column::Field(3), attribute, Column::Ignored, Column::Ignored]
        );
        assert_eq!((h.email, h.fields[0], h.fields[1]), (0, Some(1), None));
        assert_eq!(h.attributes, [("score".into(), "\"score\":".into(), 3)]);
    }

    #[test]
    fn a_header_that_cannot_be_used_says_why() {
        for (names, mapping, part) in [
            ("name,city", &[][..], "no column is the address"),
            ("email,Email", &[], "same field"),
            ("email,a b,a-b", &[], "\"a b\" and \"a-b\""),
            ("email", &[("mail", "email")], "no column \"mail\""),
            ("email,%", &[], "column 2"),
        ] {
            assert!(header(names, mapping).unwrap_err().to_string().contains(part), "{names}");
        }
        assert_eq!(header("mail,email", &[("mail", "email"), ("email", "old email")]).unwrap().email, 0);
    }
}
