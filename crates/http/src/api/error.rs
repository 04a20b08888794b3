//! The rooms' errors as problems. The rooms know no status codes; this is the one place that gives them.

use axum::http::StatusCode;

use crate::problem::Problem;

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) | store::Error::Closed => {
                tracing::warn!(%error, "the database does not answer");
                Problem::unavailable(
                    "The database does not answer now. Nothing was changed; try again in a moment.",
                )
            }
            store::Error::DiskFull(_) => Problem::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "The database's disk is full. Nothing was changed.",
            ),
            other => Problem::internal(&other),
        }
    }
}

impl From<audience::Error> for Problem {
    fn from(error: audience::Error) -> Self {
        match error {
            audience::Error::Store(error) => error.into(),
            audience::Error::Invalid { ref field, .. } => {
                let field = field.clone();
                Problem::invalid(field, error.to_string())
            }
            audience::Error::NotFound(what) => Problem::not_found(what),
            audience::Error::Exists { what, .. } => {
                let field = if what == "recipient" { "email" } else { "name" };
                Problem::conflict(format!("{error}.")).at(field)
            }
            audience::Error::Filter(error) => error.into(),
            audience::Error::File(text) => Problem::invalid("file", text),
            other => Problem::internal(&other),
        }
    }
}

impl From<audience::FilterError> for Problem {
    fn from(error: audience::FilterError) -> Self {
        // The path begins with the root, `$`.
        Problem::invalid(error.path.replacen('$', "filter", 1), error.message)
    }
}

impl From<feedback::Error> for Problem {
    fn from(error: feedback::Error) -> Self {
        match error {
            feedback::Error::Store(error) => error.into(),
            feedback::Error::Audience(error) => error.into(),
            feedback::Error::Queue(error) => error.into(),
        }
    }
}

impl From<tracking::Error> for Problem {
    fn from(error: tracking::Error) -> Self {
        match error {
            tracking::Error::Store(error) => error.into(),
            tracking::Error::Queue(error) => error.into(),
            other => Problem::internal(&other),
        }
    }
}

impl From<queue::Error> for Problem {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::Store(error) => error.into(),
            queue::Error::NotConfirmed(_) => Problem::conflict("This delivery is not confirmed yet."),
            other => Problem::conflict(other.to_string()),
        }
    }
}

impl From<archive::Error> for Problem {
    fn from(error: archive::Error) -> Self {
        match error {
            archive::Error::Store(error) => error.into(),
            archive::Error::Queue(error) => error.into(),
            other => Problem::internal(&other),
        }
    }
}

impl From<routes::Error> for Problem {
    fn from(error: routes::Error) -> Self {
        if let Some(refusal) = super::shaping::refusal(&error) {
            return refusal;
        }
        match error {
            routes::Error::Store(error) => error.into(),
            routes::Error::NotADomain(_) | routes::Error::Setting(_) => {
                Problem::invalid("domain", error.to_string())
            }
            routes::Error::UnknownDomain(_) => {
                Problem::new(StatusCode::NOT_FOUND, "not_found", error.to_string()).at("domain")
            }
            other => Problem::internal(&other),
        }
    }
}

impl From<delivery::Refusal> for Problem {
    fn from(refusal: delivery::Refusal) -> Self {
        let mut problem = Problem::invalid(refusal.field.clone(), refusal.text.clone());
        if refusal.line.is_some() {
            problem =
                problem.with("file", refusal.file).with("line", refusal.line).with("column", refusal.column);
        }
        problem
    }
}

impl From<delivery::Error> for Problem {
    fn from(error: delivery::Error) -> Self {
        match error {
            delivery::Error::NotFound(_) => Problem::not_found("delivery"),
            delivery::Error::NoSuch(what) => Problem::not_found(what),
            delivery::Error::Refused(refusal) => refusal.into(),
            delivery::Error::State { state, .. } => {
                Problem::conflict(error.to_string()).with("state", state.as_str())
            }
            delivery::Error::Forbidden(text) => Problem::new(StatusCode::FORBIDDEN, "forbidden", text),
            delivery::Error::Conflict { current, ref by, at, .. } => {
                let (text, by) = (error.to_string(), by.clone());
                Problem::conflict(text)
                    .at("revision")
                    .with("current", current)
                    .with("by", by)
                    .with("at", super::shape::time(at))
            }
            delivery::Error::Content(problems) => {
                let text = format!("The content has {} problem(s).", problems.len());
                let field = problems.first().map_or_else(|| "content".to_owned(), |first| first.part.clone());
                Problem::invalid(field, text).with("problems", serde_json::json!(problems))
            }
            delivery::Error::Store(error) => error.into(),
            delivery::Error::Audience(error) => error.into(),
            delivery::Error::Queue(error) => error.into(),
            delivery::Error::Routes(error) => error.into(),
            delivery::Error::Files(error) => error.into(),
            delivery::Error::Internal(text) => Problem::internal(&text),
        }
    }
}

impl From<content::Error> for Problem {
    fn from(error: content::Error) -> Self {
        match error {
            content::Error::Store(error) => error.into(),
            content::Error::Refused(problem) => {
                let mut text = problem.message.clone();
                if !problem.hint.is_empty() {
                    text = format!("{text}: {}", problem.hint);
                }
                let refused = Problem::invalid(problem.part.clone(), text);
                if problem.line == 0 {
                    return refused;
                }
                refused.with("line", problem.line).with("column", problem.column)
            }
            content::Error::NotFound(what) => Problem::not_found(what),
            other => Problem::invalid("url", other.to_string()),
        }
    }
}

impl From<access::Error> for Problem {
    fn from(error: access::Error) -> Self {
        use access::Error;
        let text = error.to_string();
        match error {
            Error::WrongPassword => Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text),
            Error::Locked { wait_s } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "locked", text).with("retry_after_s", wait_s)
            }
            Error::WeakPassword(_) => Self::invalid("password", text),
            Error::Name(_) => Self::invalid("name", text),
            Error::Rights(_) => Self::invalid("rights", text),
            Error::Preference(_) => Self::invalid("profile", text),
            Error::Code => Self::new(StatusCode::UNAUTHORIZED, "code", text),
            Error::Link => Self::new(StatusCode::GONE, "link", text),
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            Error::LastAdministrator => Self::conflict(text),
            Error::Setting(_) => Self::invalid("value", text),
            Error::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}
