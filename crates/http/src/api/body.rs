//! Extractors whose refusals are problem+json and name the field.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body. An empty body reads as `{}`, so that an action without arguments needs none.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !request.headers().contains_key("content-type") {
            return match axum::body::to_bytes(request.into_body(), 1).await {
                Ok(bytes) if bytes.is_empty() => {
                    serde_json::from_slice(b"{}").map(Self).map_err(|error| refused_data(&error.to_string()))
                }
                _ => Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "media_type",
                    "Send the body as application/json.",
                )),
            };
        }
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

fn refused(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(_) => {
            let text = rejection.body_text();
            let said = text.split_once("target type: ").map_or(text.as_str(), |(_, rest)| rest);
            refused_data(said)
        }
        JsonRejection::JsonSyntaxError(_) => Problem::bad_request(rejection.body_text()),
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "Send the body as application/json.",
        ),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::too_large("The body is larger than this server reads here.")
        }
        other => Problem::bad_request(other.body_text()),
    }
}

/// serde says `a.b[2]: unknown field …` or `missing field …`: the path becomes the problem's field.
fn refused_data(said: &str) -> Problem {
    let (path, message) = match said.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => (path, message),
        _ => ("", said),
    };
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let mut field = path.to_owned();
    for start in ["unknown field `", "missing field `"] {
        let name = message.strip_prefix(start).and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
        if let Some(name) = name {
            // With an unknown field the path already ends in it; with a missing one it ends in its parent.
            if field.rsplit('.').next() != Some(name) {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(name);
            }
        }
    }
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
    if field.is_empty() { problem } else { problem.at(field) }
}

/// Query parameters.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let said = text.split_once("query string: ").map_or(text.as_str(), |(_, rest)| rest);
                Err(refused_data(said))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named() {
        for (said, field) in [
            ("target.limit: invalid type: string \"x\", expected u64 at line 1 column 9", "target.limit"),
            ("missing field `label` at line 1 column 2", "label"),
            ("sender: missing field `address` at line 1 column 2", "sender.address"),
            ("labell: unknown field `labell`, expected one of …", "labell"),
        ] {
            let problem = refused_data(said);
            assert_eq!(problem.field.as_deref(), Some(field), "{said}");
            assert!(!problem.detail.contains(" at line "));
        }
        assert_eq!(refused_data("invalid type: null").field, None);
    }
}
