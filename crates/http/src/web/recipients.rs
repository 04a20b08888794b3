//! Recipients: search, view, create, edit, delete, denylist.

use askama::Template;
use audience::{Attributes, EMAIL_FORMATS, FIELDS, List, NewRecipient, Recipient, RecipientEdit, Search};
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::state::AppState;

/// Rows of a page.
const PAGE_ROWS: usize = 50;
/// Empty lines offered for further attributes.
const SPARE_ATTRIBUTES: usize = 2;

struct Row {
    id: i64,
    email: String,
    name: String,
    place: String,
    denylisted: bool,
    updated_at: i64,
}

impl Row {
    fn of(recipient: Recipient) -> Row {
        let name = format!("{} {}", recipient.first_name, recipient.last_name).trim().to_owned();
        let place: Vec<&str> = [recipient.city.as_str(), recipient.country.as_str()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        Row {
            id: recipient.id,
            name,
            place: place.join(", "),
            denylisted: recipient.denylisted,
            updated_at: recipient.updated_at,
            email: recipient.email,
        }
    }
}

#[derive(Template)]
#[template(path = "recipients.html")]
struct RecipientsPage {
    page: Page,
    q: String,
    list: i64,
    denylisted: bool,
    lists: Vec<List>,
    rows: Vec<Row>,
    total: i64,
    filtered: bool,
    paged: bool,
    first: String,
    next: String,
}

#[derive(Template)]
#[template(path = "recipients_rows.html")]
struct RecipientsRows {
    rows: Vec<Row>,
    total: i64,
    filtered: bool,
    paged: bool,
    first: String,
    next: String,
}

/// What the address line says. A select that says nothing sends an empty text.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    list: String,
    #[serde(default)]
    denylisted: String,
    after: Option<i64>,
}

/// `GET /recipients`.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let list = asked.list.parse::<i64>().ok();
    let denylisted = !asked.denylisted.is_empty();
    let search = Search {
        text: asked.q.clone(),
        list,
        denylisted: denylisted.then_some(true),
        after: asked.after,
        limit: PAGE_ROWS,
    };
    let found = state.audience.search(search).await?;
    let total = state.audience.recipient_count().await?;
    let rows: Vec<Row> = found.recipients.into_iter().map(Row::of).collect();
    let here = |after: Option<i64>| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &asked.q).append_pair("list", &asked.list);
        query.append_pair("denylisted", &asked.denylisted);
        if let Some(after) = after {
            query.append_pair("after", &after.to_string());
        }
        format!("/recipients?{}", query.finish())
    };
    let filtered = !asked.q.trim().is_empty() || list.is_some() || denylisted;
    let (first, paged) = (here(None), asked.after.is_some());
    let next = found.next.map(|after| here(Some(after))).unwrap_or_default();
    if desk.fragment {
        return show(&RecipientsRows { rows, total, filtered, paged, first, next });
    }
    let page = desk.page(Place::Recipients);
    let (lists, list) = (state.audience.lists().await?, list.unwrap_or(0));
    show(&RecipientsPage {
        page,
        q: asked.q.clone(),
        list,
        denylisted,
        lists,
        rows,
        total,
        filtered,
        paged,
        first,
        next,
    })
}

struct FieldRow {
    name: &'static str,
    value: String,
}

struct AttributeRow {
    name: String,
    value: String,
}

struct ListRow {
    id: i64,
    name: String,
    member: bool,
}

#[derive(Template)]
#[template(path = "recipient.html")]
struct RecipientPage {
    page: Page,
    heading: String,
    id: i64,
    email: String,
    fields: Vec<FieldRow>,
    formats: &'static [&'static str],
    attributes: Vec<AttributeRow>,
    known: Vec<String>,
    lists: Vec<ListRow>,
    denylisted: bool,
    quarantined: Option<String>,
    created_at: i64,
    problem: String,
}

/// What the form of one recipient holds.
#[derive(Default)]
struct Sheet {
    id: i64,
    email: String,
    fields: [String; FIELDS.len()],
    attributes: Attributes,
    lists: Vec<i64>,
    denylisted: bool,
    created_at: i64,
}

impl Sheet {
    async fn of(state: &AppState, recipient: Recipient) -> Result<Sheet, Fault> {
        let lists = state.audience.lists_of(recipient.id).await?.into_iter().map(|list| list.id).collect();
        Ok(Sheet {
            id: recipient.id,
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
            lists,
            denylisted: recipient.denylisted,
            created_at: recipient.created_at,
        })
    }

    fn sent(id: i64, form: &Form) -> Sheet {
        let names = form.all("attribute_name").into_iter();
        let pairs = names.zip(form.all("attribute_value"));
        let attributes = pairs
            .filter(|(name, value)| !name.trim().is_empty() && !value.trim().is_empty())
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Sheet {
            id,
            email: form.get("email").to_owned(),
            fields: FIELDS.map(|name| form.get(name).to_owned()),
            attributes,
            lists: form.all("list").into_iter().filter_map(|text| text.parse().ok()).collect(),
            denylisted: false,
            created_at: 0,
        }
    }

    async fn page(self, desk: &Desk, state: &AppState, problem: String) -> Result<RecipientPage, Fault> {
        let mut attributes: Vec<AttributeRow> =
            self.attributes.into_iter().map(|(name, value)| AttributeRow { name, value }).collect();
        attributes.extend(
            (0..SPARE_ATTRIBUTES).map(|_| AttributeRow { name: String::new(), value: String::new() }),
        );
        let lists = state.audience.lists().await?.into_iter();
        let quarantined = self.id > 0 && state.audience.is_quarantined(&self.email).await?;
        Ok(RecipientPage {
            page: desk.page(Place::Recipients),
            heading: if self.id > 0 { self.email.clone() } else { texts::text("recipient-new") },
            id: self.id,
            fields: FIELDS
                .into_iter()
                .zip(self.fields)
                .map(|(name, value)| FieldRow { name, value })
                .collect(),
            formats: &EMAIL_FORMATS,
            attributes,
            known: state.audience.attribute_names().await?,
            lists: lists
                .map(|list| ListRow { member: self.lists.contains(&list.id), id: list.id, name: list.name })
                .collect(),
            denylisted: self.denylisted,
            quarantined: quarantined.then(|| self.email.clone()),
            created_at: self.created_at,
            email: self.email,
            problem,
        })
    }
}

/// `GET /recipients/new`.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&Sheet::default().page(&desk, &state, String::new()).await?)
}

/// `GET /recipients/{id}`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let recipient = state.audience.recipient(id).await?.ok_or(Fault::not_found("recipient"))?;
    show(&Sheet::of(&state, recipient).await?.page(&desk, &state, String::new()).await?)
}

/// `POST /recipients/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let sheet = Sheet::sent(0, &form);
    let [first_name, last_name, language, time_zone, country, city, email_format] = sheet.fields.clone();
    let new = NewRecipient {
        email: sheet.email.clone(),
        first_name,
        last_name,
        language,
        time_zone,
        country,
        city,
        email_format,
        attributes: sheet.attributes.clone(),
        denylisted: false,
    };
    match state.audience.create_recipient(new, state.clock.now_us()).await {
        Ok(recipient) => {
            set_lists(&state, recipient.id, &sheet.lists).await?;
            Ok(done(&format!("/recipients/{}", recipient.id), "created"))
        }
        Err(error) => again(&desk, &state, sheet, error.into()).await,
    }
}

/// `POST /recipients/{id}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut sheet = Sheet::sent(id, &form);
    let before = state.audience.recipient(id).await?.ok_or(Fault::not_found("recipient"))?;
    (sheet.denylisted, sheet.created_at) = (before.denylisted, before.created_at);
    // What is no longer on the page is removed.
    let mut attributes: std::collections::BTreeMap<String, Option<String>> =
        before.attributes.into_keys().map(|name| (name, None)).collect();
    attributes.extend(sheet.attributes.clone().into_iter().map(|(name, value)| (name, Some(value))));
    let [first_name, last_name, language, time_zone, country, city, email_format] =
        sheet.fields.clone().map(Some);
    let edit = RecipientEdit {
        email: Some(sheet.email.clone()),
        first_name,
        last_name,
        language,
        time_zone,
        country,
        city,
        email_format,
        attributes,
        ..RecipientEdit::default()
    };
    match state.audience.edit_recipient(id, edit, state.clock.now_us()).await {
        Ok(_) => {
            set_lists(&state, id, &sheet.lists).await?;
            Ok(done(&format!("/recipients/{id}"), "saved"))
        }
        Err(error) => again(&desk, &state, sheet, error.into()).await,
    }
}

async fn again(desk: &Desk, state: &AppState, sheet: Sheet, fault: Fault) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    show_as(fault.0.status, &sheet.page(desk, state, fault.text().to_owned()).await?)
}

async fn set_lists(state: &AppState, id: i64, wanted: &[i64]) -> Result<(), Fault> {
    let now: Vec<i64> = state.audience.lists_of(id).await?.into_iter().map(|list| list.id).collect();
    for list in wanted.iter().filter(|list| !now.contains(list)) {
        state.audience.add_to_list(*list, vec![id]).await?;
    }
    for list in now.iter().filter(|list| !wanted.contains(list)) {
        state.audience.remove_from_list(*list, vec![id]).await?;
    }
    Ok(())
}

/// `POST /recipients/{id}/denylist`.
pub async fn denylist(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let denied = form.get("denylisted") == "1";
    let recipient = state.audience.recipient(id).await?.ok_or(Fault::not_found("recipient"))?;
    if denied {
        state.withhold(&recipient).await?;
    }
    state.audience.set_denylisted(id, denied, state.clock.now_us()).await?;
    Ok(done(&format!("/recipients/{id}"), if denied { "denied" } else { "undenied" }))
}

/// `POST /recipients/{id}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.audience.delete_recipients(vec![id]).await?;
    Ok(done("/recipients", "deleted"))
}
