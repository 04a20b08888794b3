//! Notices: what the reader is told of deliveries.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use delivery::{Notice, NoticeKind, notices::NOTICES_MAX};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show},
    said::said,
};
use crate::state::AppState;

struct Row {
    kind: &'static str,
    icon: &'static str,
    tone: &'static str,
    /// Its first paragraph.
    lead: String,
    /// What comes after it; may be empty.
    rest: String,
    at: i64,
    unread: bool,
    href: String,
}

impl Row {
    fn of(notice: Notice) -> Row {
        let (icon, tone) = look(notice.kind);
        // What a room says is said in the reader's language, line by line; what people wrote stays as it is.
        let lines: Vec<String> = notice.text.lines().map(|line| said("notice", line)).collect();
        let text = lines.join("\n");
        let (lead, rest) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
        let (lead, rest) = (lead.to_owned(), rest.to_owned());
        Row {
            kind: notice.kind.as_str(),
            icon,
            tone,
            lead,
            rest,
            at: notice.at,
            unread: notice.read_at.is_none(),
            href: href(&notice),
        }
    }
}

fn look(kind: NoticeKind) -> (&'static str, &'static str) {
    match kind {
        NoticeKind::ApprovalAsked | NoticeKind::ApprovalReminder | NoticeKind::ChooseWinner => {
            ("check", "info")
        }
        NoticeKind::ApprovalOverdue | NoticeKind::Late => ("warning", "warn"),
        NoticeKind::Braked
        | NoticeKind::DomainHalted
        | NoticeKind::SourceBlocked
        | NoticeKind::ContentHeld => ("pause", "bad"),
        NoticeKind::Started => ("play", "info"),
        NoticeKind::Finished => ("ok", "ok"),
        NoticeKind::ApprovalDecided | NoticeKind::ProofDecided | NoticeKind::Analysed => ("info", "info"),
    }
}

fn href(notice: &Notice) -> String {
    match notice.kind {
        // What a receiver holds against a domain or a source concerns all deliveries, and is lifted in one place.
        NoticeKind::DomainHalted | NoticeKind::SourceBlocked | NoticeKind::ContentHeld => {
            "/sending/verdicts".to_owned()
        }
        kind => notice.delivery.map(|id| format!("/deliveries/{id}{}", tab(kind))).unwrap_or_default(),
    }
}

/// Where one does what the notice asks for.
fn tab(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::ProofDecided => "/proofs",
        NoticeKind::Started
        | NoticeKind::Braked
        | NoticeKind::Late
        | NoticeKind::ChooseWinner
        | NoticeKind::Finished => "/watch",
        _ => "/analysis",
    }
}

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage {
    page: Page,
    rows: Vec<Row>,
    unread: i64,
    newest: i64,
    older: Option<i64>,
    paged: bool,
}

/// `?before=` pages towards older ones.
#[derive(Deserialize)]
pub struct Asked {
    before: Option<i64>,
}

/// `GET /notices`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.notices(&desk.viewer.name, false, asked.before).await?;
    let older = found.last().filter(|_| found.len() >= NOTICES_MAX).map(|last| last.id);
    show(&NoticesPage {
        page: desk.page(Place::Notices),
        unread: state.deliveries.unread_notices(&desk.viewer.name).await?,
        newest: found.first().map_or(0, |first| first.id),
        older,
        paged: asked.before.is_some(),
        rows: found.into_iter().map(Row::of).collect(),
    })
}

/// `POST /notices/read`: those that the page showed; what came since stays unread.
pub async fn read(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let up_to = form.get("up_to").parse().unwrap_or(0);
    state.deliveries.read_notices(&desk.viewer.name, up_to).await?;
    Ok(done("/notices", "read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::reader::Reader;

    #[test]
    fn a_notice_is_read_in_japanese_with_the_receivers_words_as_they_are() {
        let text = "No mail from your domain shop.example is taken by Gmail for now.\n\n\
                    Waiting there: 1,240 messages\n- Spring sale: 1,240\n\n\
                    The receiver's words: 550 5.7.26 unauthenticated";
        let notice = Notice {
            id: 1,
            kind: NoticeKind::DomainHalted,
            delivery: Some(7),
            text: text.to_owned(),
            at: 0,
            read_at: None,
        };
        let caller = access::Caller { language: "ja".into(), ..access::Caller::local() };
        let row = Reader::of(Some(&caller), &axum::http::HeaderMap::new()).reads_now(|| Row::of(notice));
        assert!(row.lead.contains("shop.example") && !row.lead.contains("domain"), "{}", row.lead);
        assert!(
            row.rest.contains("550 5.7.26 unauthenticated") && !row.rest.contains("words"),
            "{}",
            row.rest
        );
        assert!(row.rest.contains("- Spring sale: 1,240"), "{}", row.rest);
        assert_eq!(row.href, "/sending/verdicts");
    }
}
