//! The preview of a delivery as one recipient would get it, in one of the formats.
//!
//! The author's HTML never stands inside our page: it is a document of its own in a sandboxed frame, and its own policy
//! lets it run nothing and send nothing.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use content::{PreviewParts, Problem};
use delivery::Delivery;
use message::LinkMode;
use serde::Deserialize;

use super::{
    super::{
        fault::Fault,
        filters,
        findings::{self, Shown},
        format,
        page::{Desk, Page, Place, show},
        said::said,
        texts,
    },
    frame::Frame,
    sheet::Sheet,
};
use crate::state::AppState;

/// Recipients that the page proposes to preview as.
const PEOPLE_MAX: usize = 20;
/// Sender and subject of a preview while the author named none; they are not shown.
const STAND_IN: &str = "nobody@example.com";
/// Headers that the page shows; the source has all.
const HEADERS_MAX: usize = 200;

/// A link of the message.
#[derive(Default)]
pub struct Link {
    /// As the author wrote it.
    pub url: String,
    /// Name in reports.
    pub label: String,
    /// Group in reports.
    pub category: String,
    /// What becomes of it.
    pub mode: &'static str,
    /// Places where it stands.
    pub count: i64,
}

/// The name of a mode in a delivery's definition.
fn mode_name(mode: LinkMode) -> &'static str {
    match mode {
        LinkMode::Tracked => "tracked",
        LinkMode::Untracked => "untracked",
        LinkMode::OptOut => "opt_out",
        LinkMode::Mirror => "mirror",
    }
}

/// What the preview shows.
#[derive(Default)]
pub struct Preview {
    /// The recipient that was asked for; empty: any.
    pub recipient_asked: String,
    /// The recipient it is for.
    pub recipient: String,
    /// The format that was asked for; empty: the recipient's own.
    pub format: String,
    /// The format it was made in.
    pub made_as: String,
    /// Why there is none; empty: there is one.
    pub problem: String,
    /// Where the first error is; empty when it is no error.
    pub problem_at: String,
    /// Sender.
    pub from: String,
    /// Where replies go; empty: to the sender.
    pub reply_to: String,
    /// Subject.
    pub subject: String,
    /// Whether there is an HTML part.
    pub has_html: bool,
    /// The HTML part, for the editor's page.
    pub html: String,
    /// The text part.
    pub text: String,
    /// The whole message.
    pub source: String,
    /// Its headers, unfolded.
    pub headers: Vec<(String, String)>,
    /// Its links.
    pub links: Vec<Link>,
    /// Images of the HTML as the author wrote them: names of files, or addresses.
    pub images: Vec<String>,
    /// Names and sizes of the attachments, in words.
    pub attachments: String,
    /// Size of the whole message.
    pub size: String,
}

/// A preview with the problems and warnings of the content.
pub struct Made {
    /// What is shown.
    pub preview: Preview,
    /// Errors: then there is no preview.
    pub problems: Vec<Problem>,
    /// What the author should know.
    pub warnings: Vec<Problem>,
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

/// The preview of a sheet, saved or not; `id` is the delivery whose files it uses, 0: none.
pub async fn made(
    state: &AppState,
    id: i64,
    sheet: &Sheet,
    recipient: &str,
    format: &str,
) -> Result<Made, Fault> {
    let mut preview = Preview {
        recipient_asked: recipient.trim().to_owned(),
        recipient: texts::text("preview-sample"),
        format: format.to_owned(),
        ..Preview::default()
    };
    let whom = match wanted(recipient) {
        Some(address) => Some(address.to_owned()),
        None => {
            let sample =
                state.deliveries.sample_target(&sheet.definition.target, 1).await.unwrap_or_default();
            sample.into_iter().next().map(|recipient| recipient.email)
        }
    };
    if let Some(address) = &whom {
        preview.recipient.clone_from(address);
    }
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    if sheet.is_empty() {
        preview.problem = texts::text("preview-empty");
        return Ok(Made { preview, problems, warnings });
    }
    // A draft is previewed before its sender and subject are known: the key steps, and a warning here, say what is missing.
    let mut definition = sheet.definition.clone();
    let lacks_sender = definition.sender.address.trim().is_empty() && !state.has_default_sender();
    if lacks_sender {
        STAND_IN.clone_into(&mut definition.sender.address);
    }
    let lacks_subject = definition.subject.trim().is_empty();
    if lacks_subject {
        STAND_IN.clone_into(&mut definition.subject);
    }
    let done =
        state.deliveries.preview_content(&definition, &sheet.sources, id, whom.as_deref(), format).await;
    match done {
        Ok(parts) => {
            fill(&mut preview, &parts);
            warnings = parts.warnings;
            warnings.extend(parts.notes);
            if lacks_sender {
                preview.from.clear();
                warnings.push(Problem::new("from_address", texts::text("preview-no-sender")));
            }
            if lacks_subject {
                preview.subject.clear();
                warnings.push(Problem::new("subject", texts::text("preview-no-subject")));
            }
        }
        Err(delivery::Error::Content(found)) => {
            if let Some(first) = found.first() {
                preview.problem = said("content", &first.message);
                preview.problem_at = texts::pick("part", &first.part);
            }
            problems = found;
        }
        Err(delivery::Error::Refused(refusal)) if refusal.field == "recipient" => {
            preview.problem = texts::text_s("preview-unknown", recipient.trim());
        }
        Err(error) => {
            let fault = Fault::from(error);
            if !fault.is_callers() {
                return Err(fault);
            }
            preview.problem = fault.text();
        }
    }
    Ok(Made { preview, problems, warnings })
}

fn fill(preview: &mut Preview, parts: &PreviewParts) {
    preview.from.clone_from(&parts.from);
    preview.reply_to.clone_from(&parts.reply_to);
    preview.subject.clone_from(&parts.subject);
    // The HTML of a message in text feeds the mirror page alone.
    preview.has_html = parts.html.is_some() && parts.format != "text";
    preview.html = parts.html.clone().unwrap_or_default();
    preview.text = parts.text.clone().unwrap_or_default();
    preview.source = String::from_utf8_lossy(&parts.source).into_owned();
    preview.headers = headers(&preview.source);
    preview.size = format::size(parts.source.len() as u64);
    preview.made_as.clone_from(&parts.format);
    preview.images = parts.images.iter().map(|image| image.name.clone()).collect();
    let link = |link: &content::FoundLink| Link {
        url: link.url.clone(),
        label: link.label.clone(),
        category: link.category.clone(),
        mode: mode_name(link.mode),
        count: i64::from(link.count),
    };
    preview.links = parts.links.iter().map(link).collect();
    let files = parts.attachments.iter().map(|(name, bytes)| format!("{name} ({})", format::size(*bytes)));
    preview.attachments = files.collect::<Vec<_>>().join(", ");
}

/// The header lines of a message, unfolded.
fn headers(source: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in source.lines() {
        if line.is_empty() || found.len() > HEADERS_MAX {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = found.last_mut() {
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            found.push((name.to_owned(), value.trim_start().to_owned()));
        }
    }
    found
}

/// Whom to preview as, in which format, and which part.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default, rename = "as")]
    recipient: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    part: String,
    /// The frame beside the source.
    #[serde(default)]
    beside: String,
}

impl Asked {
    fn format(&self) -> &str {
        delivery::PREVIEW_FORMATS.into_iter().find(|name| *name == self.format).unwrap_or("")
    }
}

#[derive(Template)]
#[template(path = "delivery_preview.html")]
struct PreviewPage {
    page: Page,
    frame: Frame,
    preview: Preview,
    people: Vec<String>,
    formats: Vec<&'static str>,
    parts: Vec<(&'static str, usize)>,
    part: &'static str,
    html_src: String,
    problems: Vec<Shown>,
    warnings: Vec<findings::Alike<Shown>>,
}

/// `GET /deliveries/{id}/preview`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let Made { preview, problems, warnings } =
        made(&state, id, &Sheet::of(&found), &asked.recipient, asked.format()).await?;
    let all = [
        ("html", preview.has_html, 0),
        ("text", !preview.text.is_empty(), 0),
        ("source", true, 0),
        ("headers", true, preview.headers.len()),
        ("links", true, preview.links.len()),
        ("diagnostics", true, warnings.len()),
    ];
    let parts: Vec<_> =
        all.into_iter().filter(|(_, there, _)| *there).map(|(name, _, count)| (name, count)).collect();
    let named = parts.iter().map(|(name, _)| *name).find(|name| *name == asked.part);
    let part = named.or(parts.first().map(|(name, _)| *name)).unwrap_or("source");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("as", &preview.recipient_asked)
        .append_pair("format", &preview.format)
        .append_pair("r", &found.revision.to_string())
        .finish();
    show(&PreviewPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame: Frame::of(&state, &found, "preview").await?,
        people: people(&state, &found).await?,
        formats: delivery::PREVIEW_FORMATS.to_vec(),
        html_src: format!("/deliveries/{id}/preview/html?{query}"),
        parts,
        part,
        problems: Shown::all(&problems),
        warnings: findings::warnings(&warnings),
        preview,
    })
}

/// `GET /deliveries/{id}/preview/html`: the HTML part as a document of its own.
pub async fn html(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let made = made(&state, id, &Sheet::of(&found), &asked.recipient, asked.format()).await?;
    Ok(if asked.beside.is_empty() { caged(made.preview.html) } else { beside(made.preview.html) })
}

/// Where the content of others may get its pictures and its looks from; what it may not do stands in the cages below.
const LOOKS: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data: http: https:; \
                     font-src http: https:; frame-ancestors 'self'; form-action 'none'; base-uri 'none'";

/// Somebody else's HTML as an answer that can run nothing, read nothing and be framed by our pages only.
pub fn caged(html: String) -> Response {
    in_cage(html, "sandbox")
}

/// The same for the frame beside a source, whose content the editor's script replaces as the author writes. For that the
/// document keeps our origin; it still can run nothing (no `allow-scripts` here nor in the frame, and `default-src
/// 'none'`), send no form and leave its frame by nothing.
pub fn beside(html: String) -> Response {
    // Without a document type the frame would stay in quirks mode, however the message begins.
    let html = if html.trim_start().get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype")) {
        html
    } else {
        format!("<!doctype html>\n{html}")
    };
    in_cage(html, "sandbox allow-same-origin")
}

fn in_cage(html: String, cage: &str) -> Response {
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&format!("{cage}; {LOOKS}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(answer: &Response) -> String {
        answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    }

    #[test]
    fn foreign_html_is_caged() {
        let policy_of_cage = policy(&caged("<script>1</script>".to_owned()));
        assert!(policy_of_cage.starts_with("sandbox;") && policy_of_cage.contains("default-src 'none'"));
        let policy_beside = policy(&beside("<script>1</script>".to_owned()));
        assert!(policy_beside.starts_with("sandbox allow-same-origin;"));
        for policy in [policy_of_cage, policy_beside] {
            assert!(!policy.contains("script") && policy.contains("form-action 'none'"), "{policy}");
        }
    }

    #[test]
    fn headers_are_unfolded_and_end_with_the_body() {
        let found = headers("From: a@b.example\r\nSubject: one\r\n two\r\n\r\nBody: no\r\n");
        assert_eq!(
            found,
            [("From".to_owned(), "a@b.example".to_owned()), ("Subject".to_owned(), "one two".to_owned())]
        );
    }
}
