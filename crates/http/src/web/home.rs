//! Home: what is missing, what runs, what was last.

use askama::Template;
use axum::{extract::State, response::Response};
use delivery::ListFilter;

use super::{
    chart,
    deliveries::Row,
    fault::Fault,
    filters,
    page::{Desk, Page, Place, show},
};
use crate::state::{AppState, Services};

/// Deliveries under "Latest".
const LATEST_MAX: usize = 8;
/// Deliveries under "Under way".
const RUNNING_MAX: usize = 10;

struct Running {
    id: i64,
    label: String,
    state: &'static str,
    tone: &'static str,
    live: bool,
    sent: i64,
    messages: i64,
    meter: String,
}

struct Check {
    name: &'static str,
    href: &'static str,
    done: bool,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    page: Page,
    running: Vec<Running>,
    latest: Vec<Row>,
    missing: i64,
    checklist: Vec<Check>,
    recipients: i64,
    lists: i64,
    quarantined: i64,
}

/// The sender that deliveries without one use.
pub struct DefaultSender {
    /// Display name.
    pub name: String,
    /// Address.
    pub address: String,
    /// Reply address.
    pub reply_to: String,
}

impl Services {
    /// The sender that deliveries without one use; its fields are empty where nothing is set.
    pub fn default_sender(&self) -> DefaultSender {
        let settings = self.settings();
        let text = |value: Option<&str>| value.unwrap_or("").to_owned();
        DefaultSender {
            name: text(settings.from_name()),
            address: text(settings.from_address()),
            reply_to: text(settings.reply_to()),
        }
    }

    /// Whether deliveries may leave their sender empty.
    pub fn has_default_sender(&self) -> bool {
        self.settings().from_address().is_some()
    }
}

/// `GET /`.
pub async fn view(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let recipients = state.audience.recipient_count().await?;
    let checklist = checklist(&state, recipients).await?;
    let latest = state.deliveries.list(ListFilter { limit: LATEST_MAX, ..ListFilter::default() }).await?;
    show(&HomePage {
        page: desk.page(Place::Home),
        running: running(&state).await?,
        latest: latest.into_iter().map(Row::of).collect(),
        missing: checklist.iter().filter(|item| !item.done).count() as i64,
        checklist,
        recipients,
        lists: state.audience.lists().await?.len() as i64,
        quarantined: state.audience.quarantined_count().await?,
    })
}

async fn checklist(state: &AppState, recipients: i64) -> Result<Vec<Check>, Fault> {
    let item = |name, href, done| Check { name, href, done };
    let demo = state.demo.is_some();
    let domains = !state.routes.domains().await?.is_empty();
    Ok(vec![
        // The demo's links lead to this machine, which is right there.
        item("public-url", "/setup/url", demo || state.settings().public_url().is_some()),
        item("domain", "/setup/domain", domains),
        item("recipients", "/imports/new", recipients > 0),
    ])
}

async fn running(state: &AppState) -> Result<Vec<Running>, Fault> {
    use delivery::State::*;
    let states = vec![Pending, InProgress, Retrying, Pausing, Paused, Stopping];
    let filter = ListFilter { states, limit: RUNNING_MAX, ..ListFilter::default() };
    let mut rows = Vec::new();
    for summary in state.deliveries.list(filter).await? {
        let status = state.deliveries.status(summary.id).await?;
        let messages = status.pending + status.sent + status.failed + status.cancelled;
        let shares = [("ok", status.sent), ("bad", status.failed), ("warn", status.deferred)];
        let row = Row::of(summary);
        rows.push(Running {
            id: row.id,
            label: row.label,
            state: row.state,
            tone: row.tone,
            live: row.live,
            sent: status.sent,
            messages,
            meter: chart::meter(&shares, messages, "thin"),
        });
    }
    Ok(rows)
}
