//! The demo's mailbox: what the simulated receivers took. There is no such page outside the demo.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use mail_parser::MessageParser;
use serde::Deserialize;

use super::{
    delivery::preview::caged,
    fault::Fault,
    filters,
    page::{Desk, Page, Place, show},
};
use crate::state::{AppState, DemoMailbox, DemoMessage};

/// Messages of a page.
const PAGE_ROWS: usize = 50;

struct Row {
    number: u64,
    at: i64,
    to: String,
    subject: String,
    provider: String,
    size: u64,
}

struct Mail {
    number: u64,
    from: String,
    to: String,
    subject: String,
    parts: Vec<&'static str>,
    part: String,
    body: String,
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct MailboxPage {
    page: Page,
    q: String,
    total: i64,
    rows: Vec<Row>,
    filtered: bool,
    chosen: u64,
    before: String,
    older: String,
    mail: Option<Mail>,
}

/// What the address line says.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    part: String,
    m: Option<u64>,
    before: Option<u64>,
}

fn mailbox(state: &AppState) -> Result<&dyn DemoMailbox, Fault> {
    state.demo.as_deref().ok_or(Fault::not_found("page"))
}

/// `GET /mailbox`.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let demo = mailbox(&state)?;
    let mut found = demo.list(asked.before, PAGE_ROWS + 1, asked.q.trim());
    let mut older = String::new();
    if found.len() > PAGE_ROWS {
        found.truncate(PAGE_ROWS);
        let q: String = url::form_urlencoded::byte_serialize(asked.q.as_bytes()).collect();
        older = format!("/mailbox?q={q}&before={}", found.last().map_or(0, |last| last.number));
    }
    let chosen = asked.m.or(found.first().map(|first| first.number)).unwrap_or(0);
    let mail = demo.source(chosen).map(|source| opened(chosen, &source, &asked.part));
    show(&MailboxPage {
        page: desk.page(Place::Mailbox),
        total: i64::try_from(demo.count()).unwrap_or(i64::MAX),
        rows: found.into_iter().map(row).collect(),
        filtered: !asked.q.trim().is_empty(),
        chosen,
        before: asked.before.map(|before| format!("&before={before}")).unwrap_or_default(),
        older,
        mail,
        q: asked.q,
    })
}

fn row(message: DemoMessage) -> Row {
    Row {
        number: message.number,
        at: message.at_us,
        to: message.to,
        subject: message.subject,
        provider: message.provider,
        size: message.size as u64,
    }
}

fn opened(number: u64, source: &[u8], part: &str) -> Mail {
    let parsed = MessageParser::default().parse(source);
    let parsed = parsed.as_ref();
    let there = [
        ("html", parsed.is_some_and(|mail| mail.html_body.first().is_some_and(|id| is_html(mail, *id)))),
        ("text", parsed.is_some_and(|mail| mail.body_text(0).is_some())),
        ("source", true),
    ];
    let parts: Vec<&'static str> =
        there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    let chosen =
        parts.iter().copied().find(|name| *name == part).or(parts.first().copied()).unwrap_or("source");
    let body = match chosen {
        "text" => parsed.and_then(|mail| mail.body_text(0)).unwrap_or_default().into_owned(),
        "source" => String::from_utf8_lossy(source).into_owned(),
        _ => String::new(),
    };
    let header = |name: &str| {
        let value = parsed.and_then(|mail| mail.header_raw(name)).unwrap_or("").trim();
        value.replace("\r\n", "").replace('\n', "")
    };
    let address =
        |address: Option<&mail_parser::Address<'_>>, name: &str| match address.and_then(|all| all.first()) {
            Some(one) => match (one.name(), one.address()) {
                (Some(display), Some(address)) => format!("{display} <{address}>"),
                (_, address) => address.unwrap_or_default().to_owned(),
            },
            None => header(name),
        };
    Mail {
        number,
        from: address(parsed.and_then(mail_parser::Message::from), "From"),
        to: address(parsed.and_then(mail_parser::Message::to), "To"),
        subject: parsed.and_then(mail_parser::Message::subject).unwrap_or("").to_owned(),
        parts,
        part: chosen.to_owned(),
        body,
    }
}

fn is_html(mail: &mail_parser::Message<'_>, part: u32) -> bool {
    mail.parts.get(part as usize).is_some_and(|part| matches!(part.body, mail_parser::PartType::Html(_)))
}

/// `GET /mailbox/{number}/html`: the HTML of a message, in its cage.
pub async fn html(
    _desk: Desk,
    State(state): State<AppState>,
    Path(number): Path<u64>,
) -> Result<Response, Fault> {
    let source = mailbox(&state)?.source(number).ok_or(Fault::not_found("message"))?;
    let parsed = MessageParser::default().parse(&source);
    Ok(caged(parsed.and_then(|mail| mail.body_html(0).map(|body| body.into_owned())).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"From: Shop <news@shop.example>\r\nTo: ann@x.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n--b--\r\n";

    #[test]
    fn a_message_is_opened_part_by_part() {
        let mail = opened(3, MAIL, "");
        assert_eq!((mail.part.as_str(), mail.subject.as_str()), ("html", "Gr\u{fc}\u{df}e"));
        assert_eq!(mail.from, "Shop <news@shop.example>");
        assert_eq!(opened(3, MAIL, "text").body.trim(), "Hello");
        assert!(opened(3, MAIL, "source").body.starts_with("From:"));
    }

    #[test]
    fn garbage_is_shown_as_it_is() {
        let mail = opened(1, b"\xff\xfe\r\nnothing", "html");
        assert!(mail.parts.contains(&"source"));
    }
}
