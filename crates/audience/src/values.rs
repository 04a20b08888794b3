//! One field of every recipient as a column: what another room sorts or groups recipients by.

use store::{Relation, Value};

use crate::Audience;
use crate::error::Result;
use crate::filter::{Subject, value_columns};

impl Audience {
    /// Columns `recipient`, `value` (text; empty: not known) and `number` (the value where it is a number by the rule of
    /// [`crate::Filter`], else NULL; a time's microseconds), for a field, a time, the denylist flag or an attribute by the name
    /// that filters use.
    ///
    /// # Errors
    /// A name that can be no field's.
    pub fn values_of(&self, name: &str) -> Result<Relation> {
        let name = name.trim();
        let subject = match Subject::builtin(name) {
            Some(subject) => subject,
            None => {
                let name = name.strip_prefix("attributes.").unwrap_or(name);
                Subject::Attribute(crate::attribute_name(name)?)
            }
        };
        let mut binds = Vec::new();
        let (text, number) = value_columns(&subject, self.store().dialect(), &mut binds);
        let sql = format!("SELECT r.id AS recipient, {text} AS value, {number} AS number FROM recipient r");
        Ok(Relation::new(sql, binds))
    }

    /// One column, `recipient`: recipients who have the address of one of these guests.
    pub fn twins_of_guests(&self, ids: &std::ops::RangeInclusive<i64>) -> Relation {
        Relation::new(
            "SELECT r.id AS recipient FROM guest g JOIN recipient r ON r.email_key = g.email_key \
             WHERE g.id BETWEEN $1 AND $2",
            vec![Value::Int(*ids.start()), Value::Int(*ids.end())],
        )
    }
}
