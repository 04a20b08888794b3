//! The fields and attributes of a person as a form: of a recipient, and of a seed.

use audience::{Attributes, EMAIL_FORMATS, FIELDS, NewRecipient, Recipient, RecipientEdit};

use super::{fault::Fault, form::Form};
use crate::state::AppState;

/// Empty lines offered for further attributes.
const SPARE_ATTRIBUTES: usize = 2;

/// What a form says of somebody.
#[derive(Clone, Default)]
pub struct Person {
    /// The address as typed.
    pub email: String,
    /// In the order of [`FIELDS`].
    pub fields: [String; FIELDS.len()],
    /// Those with a name and a value.
    pub attributes: Attributes,
}

/// A line of a form.
pub struct Line {
    /// The field's or the attribute's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What `person_fields.html` and `person_attributes.html` show.
pub struct PersonForm {
    /// The address.
    pub email: String,
    /// The fields.
    pub fields: Vec<Line>,
    /// What the field `email_format` can be.
    pub formats: &'static [&'static str],
    /// The attributes, and some empty lines.
    pub attributes: Vec<Line>,
    /// Names of attributes that are in use.
    pub known: Vec<String>,
}

impl Person {
    /// Somebody as the room knows them.
    pub fn of(recipient: Recipient) -> Person {
        Person {
            email: recipient.email,
            fields: [
                recipient.first_name,
                recipient.last_name,
                recipient.language,
                recipient.time_zone,
                recipient.country,
                recipient.city,
                recipient.email_format,
            ],
            attributes: recipient.attributes,
        }
    }

    /// What was typed.
    pub fn sent(form: &Form) -> Person {
        let names = form.all("attribute_name").into_iter();
        let pairs = names.zip(form.all("attribute_value"));
        let attributes = pairs
            .filter(|(name, value)| !name.trim().is_empty() && !value.trim().is_empty())
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Person {
            email: form.get("email").to_owned(),
            fields: FIELDS.map(|name| form.get(name).to_owned()),
            attributes,
        }
    }

    /// To create them.
    pub fn to_new(&self) -> NewRecipient {
        let [first_name, last_name, language, time_zone, country, city, email_format] = self.fields.clone();
        NewRecipient {
            email: self.email.clone(),
            first_name,
            last_name,
            language,
            time_zone,
            country,
            city,
            email_format,
            attributes: self.attributes.clone(),
            denylisted: false,
        }
    }

    /// To change somebody who had these attributes: what is no longer on the page is removed.
    pub fn to_edit(&self, before: Attributes) -> RecipientEdit {
        let mut attributes: std::collections::BTreeMap<String, Option<String>> =
            before.into_keys().map(|name| (name, None)).collect();
        attributes.extend(self.attributes.clone().into_iter().map(|(name, value)| (name, Some(value))));
        let [first_name, last_name, language, time_zone, country, city, email_format] =
            self.fields.clone().map(Some);
        RecipientEdit {
            email: Some(self.email.clone()),
            first_name,
            last_name,
            language,
            time_zone,
            country,
            city,
            email_format,
            attributes,
            ..RecipientEdit::default()
        }
    }

    /// For the page.
    pub async fn form(self, state: &AppState) -> Result<PersonForm, Fault> {
        let line = |(name, value): (String, String)| Line { name, value };
        let spare = (0..SPARE_ATTRIBUTES).map(|_| (String::new(), String::new()));
        Ok(PersonForm {
            email: self.email,
            fields: FIELDS.map(str::to_owned).into_iter().zip(self.fields).map(line).collect(),
            formats: &EMAIL_FORMATS,
            attributes: self.attributes.into_iter().chain(spare).map(line).collect(),
            known: state.audience.attribute_names().await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_that_is_gone_from_the_page_is_removed() {
        let form = Form::of(&[
            ("email", " a@x.example "),
            ("city", "Kyoto"),
            ("attribute_name", "points"),
            ("attribute_value", "7"),
            ("attribute_name", "tier"),
            ("attribute_value", " "),
            ("attribute_name", ""),
            ("attribute_value", "x"),
        ]);
        let person = Person::sent(&form);
        let before = [("points", "5"), ("tier", "gold")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let edit = person.to_edit(before);
        assert_eq!(edit.city.as_deref(), Some("Kyoto"));
        let attributes: Vec<_> = edit.attributes.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(attributes, [("points", Some("7")), ("tier", None)]);
        assert_eq!(person.to_new().email, "a@x.example");
    }
}
