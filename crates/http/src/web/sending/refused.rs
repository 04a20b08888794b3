//! The forms of these pages: kept, or shown again with the field that was refused and why, in the reader's language.

use std::future::Future;

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::super::{
    fault::Fault,
    page::{done, show_as},
    said::said,
    texts,
};
use crate::acts::Told;

/// Why a form was not kept; it stands beside the form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// The field; empty: none of them.
    pub at: String,
    /// Why, and what would do.
    pub why: String,
    status: StatusCode,
}

impl Refused {
    /// What the form itself finds.
    pub fn new(at: &str, why: String) -> Refused {
        Refused { at: at.to_owned(), why, status: StatusCode::UNPROCESSABLE_ENTITY }
    }

    /// There is such a thing already: this form would overwrite it unseen.
    pub fn taken(at: &str, why: String) -> Refused {
        Refused { status: StatusCode::CONFLICT, ..Refused::new(at, why) }
    }

    /// What the room says to a form; `label` names its fields.
    ///
    /// # Errors
    /// What the reader cannot mend.
    pub fn unless<T>(
        outcome: routes::Result<T>,
        label: impl Fn(&str) -> String,
    ) -> Result<Result<T, Refused>, Fault> {
        let error = match outcome {
            Ok(kept) => return Ok(Ok(kept)),
            Err(error) => error,
        };
        if let routes::Error::Rule { field, reason, .. } = &error {
            let why = texts::text_ss("refused-at", &label(field), &said("refused", reason));
            return Ok(Err(Refused::new(field, why)));
        }
        let fault = Fault::from(error);
        if fault.0.status.is_server_error() {
            return Err(fault);
        }
        let (why, status) = (fault.text(), fault.0.status);
        Ok(Err(Refused { at: fault.0.field.unwrap_or_default(), why, status }))
    }
}

/// Answers a form: on to `next`, which says `word`, and the audit log is told about what; or the form again, as `page` builds it around what was refused.
///
/// # Errors
/// What fails while the page is built.
pub(super) async fn answer<P, B>(
    outcome: Result<Told, Refused>,
    (next, word): (&str, &str),
    page: impl FnOnce(Refused) -> B,
) -> Result<Response, Fault>
where
    P: Template,
    B: Future<Output = Result<P, Fault>>,
{
    match outcome {
        Ok(told) => Ok(told.on(done(next, word))),
        Err(refused) => show_as(refused.status, &page(refused).await?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_as_the_form_calls_it() {
        let refuse = |field| {
            let error =
                routes::Error::Rule { name: "mta-a".into(), field, reason: "must be a host name".into() };
            Refused::unless::<()>(Err(error), |field| texts::pick("source-field", field))
                .unwrap()
                .unwrap_err()
        };
        let refused = refuse("ehlo");
        assert_eq!((refused.at.as_str(), refused.why.as_str()), ("ehlo", "EHLO name: must be a host name."));
        assert_eq!(refuse("new_field").why, "new field: must be a host name.");
        let gone = routes::Error::Absent { kind: "source", name: "mta-a".into() };
        let refused = Refused::unless::<()>(Err(gone), str::to_owned).unwrap().unwrap_err();
        assert_eq!((refused.status, refused.at.as_str()), (StatusCode::NOT_FOUND, ""));
        assert!(Refused::unless(Ok(7), str::to_owned).unwrap() == Ok(7));
    }
}
