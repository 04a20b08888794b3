//! Recipients as a CSV file, safe to open in a spreadsheet.

use std::borrow::Cow;
use std::io::Write;

use store::Relation;

use crate::Audience;
use crate::error::{Error, Result};
use crate::recipient::FIELDS;
use crate::row::{RecipientRow, recipient_columns};

/// A cell that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@`, a tab or a carriage return gets a `'`
/// in front (OWASP, "CSV Injection"). Numbers stay: `-12.5` and `+4` are data people calculate with.
pub fn formula_safe(cell: &str) -> Cow<'_, str> {
    let suspicious = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let number = cell.len() > 1 && cell.bytes().skip(1).all(|b| b.is_ascii_digit() || b == b'.');
    if suspicious && !(number && cell.starts_with(['+', '-'])) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

impl Audience {
    /// Writes the recipients of a relation with a column `recipient` as CSV, in the order of their ids: `email`, the
    /// fields, then every known attribute. Gives the writer back. Flat memory.
    ///
    /// A file exported and imported again changes nothing, except that cells that begin like a formula keep their `'`.
    pub async fn export<W: Write + Send + 'static>(&self, relation: &Relation, to: W) -> Result<W> {
        const DOING: &str = "cannot write the export";
        let names = self.attribute_names().await?;
        let mut binds = Vec::new();
        let sql = format!(
            "SELECT {} FROM recipient r WHERE r.id IN ({}) ORDER BY r.id",
            recipient_columns("r"),
            relation.splice(&mut binds)
        );
        self.store
            .read(move |tx| {
                let mut csv = csv::Writer::from_writer(to);
                let header = std::iter::once("email").chain(FIELDS).chain(names.iter().map(String::as_str));
                csv.write_record(header).map_err(|e| Error::io(DOING)(e.into()))?;
                let mut recipient = RecipientRow::default();
                tx.query_each(&sql, &binds, |row| {
                    recipient.fill(row, 0)?;
                    let own = std::iter::once("email").chain(FIELDS).map(|name| recipient.get(name));
                    let attributes = names.iter().map(|name| recipient.attribute(name));
                    let cells = own.chain(attributes).map(|cell| formula_safe(cell.unwrap_or_default()));
                    csv.write_record(cells.map(|cell| cell.into_owned()))
                        .map_err(|e| Error::io(DOING)(e.into()))
                })?;
                csv.into_inner().map_err(|e| Error::io(DOING)(e.into_error()))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::formula_safe;

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not() {
        for (cell, safe) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("@SUM(1)", "'@SUM(1)"),
            ("-1+2", "'-1+2"),
            ("-", "'-"),
            ("-12.5", "-12.5"),
            ("+4", "+4"),
            ("髙志", "髙志"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(formula_safe(cell), safe, "{cell}");
        }
    }
}
