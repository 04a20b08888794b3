//! Recipients: search, view, create, edit, delete, denylist.

use askama::Template;
use audience::{List, Recipient, Search, Service};
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
    person::{Person, PersonForm},
    texts,
};
use crate::state::AppState;

/// Rows of a page.
const PAGE_ROWS: usize = 50;

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
    service: i64,
    denylisted: bool,
    lists: Vec<List>,
    services: Vec<Service>,
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
    service: String,
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
    let (list, service) = (asked.list.parse::<i64>().ok(), asked.service.parse::<i64>().ok());
    let denylisted = !asked.denylisted.is_empty();
    let search = Search {
        text: asked.q.clone(),
        list,
        service,
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
        query.append_pair("service", &asked.service);
        query.append_pair("denylisted", &asked.denylisted);
        if let Some(after) = after {
            query.append_pair("after", &after.to_string());
        }
        format!("/recipients?{}", query.finish())
    };
    let filtered = !asked.q.trim().is_empty() || list.is_some() || service.is_some() || denylisted;
    let (first, paged) = (here(None), asked.after.is_some());
    let next = found.next.map(|after| here(Some(after))).unwrap_or_default();
    if desk.fragment {
        return show(&RecipientsRows { rows, total, filtered, paged, first, next });
    }
    let page = desk.page(Place::Recipients);
    let (lists, list) = (state.audience.lists().await?, list.unwrap_or(0));
    let (services, service) = (state.audience.services().await?, service.unwrap_or(0));
    show(&RecipientsPage {
        page,
        q: asked.q.clone(),
        list,
        service,
        denylisted,
        lists,
        services,
        rows,
        total,
        filtered,
        paged,
        first,
        next,
    })
}

/// A list or a service that one can be on.
struct Membership {
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
    person: PersonForm,
    lists: Vec<Membership>,
    services: Vec<Membership>,
    denylisted: bool,
    quarantined: Option<String>,
    created_at: i64,
    problem: String,
}

/// What the form of one recipient holds.
#[derive(Default)]
struct Sheet {
    id: i64,
    person: Person,
    lists: Vec<i64>,
    services: Vec<i64>,
    denylisted: bool,
    created_at: i64,
}

impl Sheet {
    async fn of(state: &AppState, recipient: Recipient) -> Result<Sheet, Fault> {
        let lists = state.audience.lists_of(recipient.id).await?.into_iter().map(|list| list.id).collect();
        let services = state.audience.subscriptions_of(recipient.id).await?;
        Ok(Sheet {
            id: recipient.id,
            lists,
            services: services.into_iter().map(|subscription| subscription.service).collect(),
            denylisted: recipient.denylisted,
            created_at: recipient.created_at,
            person: Person::of(recipient),
        })
    }

    fn sent(id: i64, form: &Form) -> Sheet {
        let ids = |name| form.all(name).into_iter().filter_map(|text| text.parse().ok()).collect();
        Sheet {
            id,
            person: Person::sent(form),
            lists: ids("list"),
            services: ids("service"),
            denylisted: false,
            created_at: 0,
        }
    }

    async fn page(self, desk: &Desk, state: &AppState, problem: String) -> Result<RecipientPage, Fault> {
        let email = self.person.email.clone();
        let lists = state.audience.lists().await?.into_iter();
        let services = state.audience.services().await?.into_iter();
        let quarantined = self.id > 0 && state.audience.is_quarantined(&email).await?;
        Ok(RecipientPage {
            page: desk.page(Place::Recipients),
            heading: if self.id > 0 { email.clone() } else { texts::text("recipient-new") },
            id: self.id,
            lists: lists
                .map(|list| Membership {
                    member: self.lists.contains(&list.id),
                    id: list.id,
                    name: list.name,
                })
                .collect(),
            services: services
                .map(|one| Membership { member: self.services.contains(&one.id), id: one.id, name: one.name })
                .collect(),
            denylisted: self.denylisted,
            quarantined: quarantined.then_some(email),
            created_at: self.created_at,
            person: self.person.form(state).await?,
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
    match state.audience.create_recipient(sheet.person.to_new(), state.clock.now_us()).await {
        Ok(recipient) => {
            set_memberships(&state, &recipient, &sheet).await?;
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
    let edit = sheet.person.to_edit(before.attributes);
    match state.audience.edit_recipient(id, edit, state.clock.now_us()).await {
        Ok(recipient) => {
            set_memberships(&state, &recipient, &sheet).await?;
            Ok(done(&format!("/recipients/{id}"), "saved"))
        }
        Err(error) => again(&desk, &state, sheet, error.into()).await,
    }
}

async fn again(desk: &Desk, state: &AppState, sheet: Sheet, fault: Fault) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    show_as(fault.0.status, &sheet.page(desk, state, fault.text()).await?)
}

/// Puts the recipient on the lists and services that the form has ticked, and takes it off the others.
async fn set_memberships(state: &AppState, recipient: &Recipient, sheet: &Sheet) -> Result<(), Fault> {
    let id = recipient.id;
    let now: Vec<i64> = state.audience.lists_of(id).await?.into_iter().map(|list| list.id).collect();
    for list in sheet.lists.iter().filter(|list| !now.contains(list)) {
        state.audience.add_to_list(*list, vec![id]).await?;
    }
    for list in now.iter().filter(|list| !sheet.lists.contains(list)) {
        state.audience.remove_from_list(*list, vec![id]).await?;
    }
    let now = state.audience.subscriptions_of(id).await?;
    let now: Vec<i64> = now.into_iter().map(|subscription| subscription.service).collect();
    for service in sheet.services.iter().filter(|service| !now.contains(service)) {
        state.audience.subscribe(*service, vec![id], state.clock.now_us()).await?;
    }
    for service in now.iter().filter(|service| !sheet.services.contains(service)) {
        state.unsubscribe(*service, std::slice::from_ref(recipient)).await?;
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
        state.denylist(&recipient).await?;
    } else {
        state.audience.set_denylisted(id, false, state.clock.now_us()).await?;
    }
    Ok(done(&format!("/recipients/{id}"), if denied { "denied" } else { "undenied" }))
}

/// `POST /recipients/{id}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    // Nobody to delete is as good as deleted: a form that was sent twice.
    if let Some(recipient) = state.audience.recipient(id).await? {
        state.delete_recipient(&recipient).await?;
    }
    Ok(done("/recipients", "deleted"))
}
