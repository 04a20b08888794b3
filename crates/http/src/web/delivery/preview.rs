//! The preview of a delivery as one recipient would get it.
//!
//! The author's HTML never stands inside our page: it is a document of its own in a frame without rights (`sandbox`), and
//! its own policy lets it run nothing and send nothing.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use delivery::Delivery;
use serde::Deserialize;

use super::super::{
    fault::Fault,
    filters, format,
    page::{Desk, show},
    texts,
};
use crate::state::AppState;

/// Recipients that the page proposes to preview as.
const PEOPLE_MAX: usize = 20;

/// What the preview shows.
#[derive(Default)]
pub struct Preview {
    /// The delivery.
    pub id: i64,
    /// The recipient it is for.
    pub recipient: String,
    /// Why there is none; empty: there is one.
    pub problem: String,
    /// Where the first error is; empty when it is no error.
    pub problem_at: String,
    /// The parts there are.
    pub parts: Vec<&'static str>,
    /// The part that is shown.
    pub part: String,
    /// Sender.
    pub from: String,
    /// Subject.
    pub subject: String,
    /// Text or source; the HTML is fetched by the frame.
    pub body: String,
    /// Size of the whole message.
    pub size: String,
    /// Revision, so that the frame is fetched anew after an edit.
    pub revision: i64,
}

/// Addresses to preview as: the first of the target.
pub async fn people(state: &AppState, found: &Delivery) -> Result<Vec<String>, Fault> {
    let sample = state.deliveries.sample_target(&found.definition.target, PEOPLE_MAX).await;
    // A target that names a list that is gone shows its error on the Target tab.
    Ok(sample.unwrap_or_default().into_iter().map(|recipient| recipient.email).collect())
}

fn wanted(recipient: &str) -> Option<&str> {
    Some(recipient.trim()).filter(|text| !text.is_empty())
}

/// The preview, with the problems and warnings of the content.
pub async fn made(
    state: &AppState,
    found: &Delivery,
    recipient: &str,
    part: &str,
) -> Result<(Preview, Vec<content::Problem>, Vec<content::Problem>), Fault> {
    let mut preview = Preview { id: found.id, revision: found.revision, ..Preview::default() };
    let whom = match wanted(recipient) {
        Some(address) => Some(address.to_owned()),
        None => people(state, found).await?.into_iter().next(),
    };
    preview.recipient = whom.clone().unwrap_or_default();
    if found.html.is_none() && found.text.is_none() {
        preview.problem = texts::text("preview-empty");
        return Ok((preview, Vec::new(), Vec::new()));
    }
    match state
        .deliveries
        .preview_of(&found.definition, found.html.as_deref(), found.text.as_deref(), whom.as_deref())
        .await
    {
        Ok(parts) => {
            if whom.is_none() {
                preview.recipient = texts::text("preview-sample");
            }
            fill(&mut preview, &parts, part);
            Ok((preview, Vec::new(), parts.warnings))
        }
        Err(delivery::Error::Content(problems)) => {
            if let Some(first) = problems.first() {
                preview.problem = first.message.clone();
                preview.problem_at = texts::pick("part", &first.part);
            }
            Ok((preview, problems, Vec::new()))
        }
        Err(delivery::Error::Refused(refusal)) if refusal.field == "recipient" => {
            preview.problem = texts::text_s("preview-unknown", recipient.trim());
            Ok((preview, Vec::new(), Vec::new()))
        }
        Err(error) => {
            let fault = Fault::from(error);
            if !fault.is_callers() {
                return Err(fault);
            }
            fault.text().clone_into(&mut preview.problem);
            Ok((preview, Vec::new(), Vec::new()))
        }
    }
}

fn fill(preview: &mut Preview, parts: &content::PreviewParts, part: &str) {
    let there = [("html", parts.html.is_some()), ("text", parts.text.is_some()), ("source", true)];
    preview.parts = there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    let chosen = preview.parts.iter().copied().find(|name| *name == part);
    preview.part = chosen.or(preview.parts.first().copied()).unwrap_or("source").to_owned();
    preview.body = match preview.part.as_str() {
        "text" => parts.text.clone().unwrap_or_default(),
        "source" => String::from_utf8_lossy(&parts.source).into_owned(),
        _ => String::new(),
    };
    preview.from.clone_from(&parts.from);
    preview.subject.clone_from(&parts.subject);
    preview.size = format::size(parts.source.len() as u64);
}

/// Whom to preview as, and which part.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default, rename = "as")]
    recipient: String,
    #[serde(default)]
    part: String,
}

#[derive(Template)]
#[template(path = "delivery_preview.html")]
struct PreviewPart {
    preview: Preview,
}

/// `GET /deliveries/{id}/preview`: the fragment.
pub async fn fragment(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let (preview, _, _) = made(&state, &found, &asked.recipient, &asked.part).await?;
    show(&PreviewPart { preview })
}

/// `GET /deliveries/{id}/preview/html`: the HTML part as a document of its own.
pub async fn html(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let whom = wanted(&asked.recipient).filter(|text| text.contains('@'));
    let parts = state.deliveries.preview(id, whom).await?;
    Ok(caged(parts.html.unwrap_or_default()))
}

/// Somebody else's HTML as an answer that can run nothing, read nothing and be framed by our pages only.
pub fn caged(html: String) -> Response {
    const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: http: https:; \
                          font-src http: https:; frame-ancestors 'self'; form-action 'none'; base-uri 'none'";
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_html_is_caged() {
        let answer = caged("<script>1</script>".to_owned());
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("sandbox;") && policy.contains("default-src 'none'"));
        assert!(!policy.contains("script"));
    }
}
