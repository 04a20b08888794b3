//! A page's refusal: the problem of [`crate::problem`], shown to people.

use std::fmt::Display;

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::{filters, page::Bare, said::said, texts};
use crate::problem::Problem;

/// Why a page cannot be shown or a form not be done.
#[derive(Debug)]
pub struct Fault(pub Problem);

impl Fault {
    /// 404.
    pub fn not_found(what: &str) -> Fault {
        Fault(Problem::not_found(what))
    }

    /// 500, with its cause in the log.
    pub fn internal(cause: &dyn Display) -> Fault {
        Fault(Problem::internal(cause))
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Fault {
        Fault(Problem::bad_request(detail))
    }

    /// What is wrong, as a sentence in the reader's language: shown beside a form when the caller can mend it.
    pub fn text(&self) -> String {
        said("problem", &self.0.detail)
    }

    /// Whether the caller can mend it (4xx other than 404).
    pub fn is_callers(&self) -> bool {
        self.0.status.is_client_error() && self.0.status != StatusCode::NOT_FOUND
    }
}

impl<E: Into<Problem>> From<E> for Fault {
    fn from(error: E) -> Fault {
        Fault(error.into())
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    frame: Bare,
    title: String,
    detail: String,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let title = texts::pick(
            "fault",
            match self.0.status {
                StatusCode::NOT_FOUND => "not_found",
                StatusCode::CONFLICT => "conflict",
                StatusCode::FORBIDDEN => "forbidden",
                StatusCode::SERVICE_UNAVAILABLE => "unavailable",
                status if status.is_server_error() => "internal",
                _ => "refused",
            },
        );
        let page = FaultPage { frame: Bare::new(), title, detail: self.text() };
        match page.render() {
            Ok(body) => (self.0.status, [("cache-control", "no-store")], Html(body)).into_response(),
            Err(_) => self.0.into_response(),
        }
    }
}

/// Answers what has no page.
pub async fn nowhere() -> Fault {
    Fault::not_found("page")
}
