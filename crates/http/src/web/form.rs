//! A sent form: names and values in the order of the page, because some names come more than once.

use axum::{
    extract::{FromRequest, Request, rejection::FormRejection},
    response::{IntoResponse, Response},
};

use super::{fault::Fault, texts};
use crate::state::AppState;

/// Largest form, in bytes: four sources of 2 MB, percent-encoded.
pub const FORM_BYTES_MAX: usize = 26 << 20;

/// The fields of a form. Line breaks are LF, as authors and templates expect.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// A form as a test sends it.
    #[cfg(test)]
    pub fn of(fields: &[(&str, &str)]) -> Form {
        Form(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first value of a name, trimmed; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a name as it was sent.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether a checkbox was ticked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| key == name && !value.is_empty())
    }

    /// All values of a name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// All fields, in order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The non-empty lines of a text area (commas separate too).
    pub fn lines(&self, name: &str) -> Vec<String> {
        let split = self.raw(name).split(['\n', ',', ';']);
        split.map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// A whole number; empty counts as 0. `label` is the name that the refusal uses.
    pub fn number<T: std::str::FromStr + Default>(&self, name: &str, label: &str) -> Result<T, String> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(T::default());
        }
        text.parse().map_err(|_| texts::text_s("fault-number", label))
    }
}

impl FromRequest<AppState> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Form, Response> {
        let sent = axum::Form::<Vec<(String, String)>>::from_request(request, state).await;
        match sent {
            Ok(axum::Form(mut fields)) => {
                for (_, value) in &mut fields {
                    if value.contains('\r') {
                        *value = value.replace("\r\n", "\n").replace('\r', "\n");
                    }
                }
                Ok(Form(fields))
            }
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

fn refused(rejection: &FormRejection) -> Response {
    let mut fault = Fault::bad_request(rejection.body_text());
    fault.0.status = rejection.status();
    fault.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_come_more_than_once() {
        let form = Form::of(&[("a", " 1 "), ("a", "2"), ("b", "x\n\n y,z")]);
        assert_eq!(form.get("a"), "1");
        assert_eq!(form.all("a"), [" 1 ", "2"]);
        assert_eq!(form.lines("b"), ["x", "y", "z"]);
        assert_eq!(form.get("none"), "");
        assert!(!form.has("none"));
    }

    #[test]
    fn numbers_are_refused_by_their_label() {
        let form = Form::of(&[("n", "12"), ("bad", "many"), ("empty", "")]);
        assert_eq!(form.number::<u64>("n", "Limit"), Ok(12));
        assert_eq!(form.number::<u64>("empty", "Limit"), Ok(0));
        assert!(form.number::<u64>("bad", "Limit").unwrap_err().contains("Limit"));
    }
}
