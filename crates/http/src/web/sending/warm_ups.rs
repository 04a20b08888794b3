//! Warm-ups: how a source is made known to a provider, day by day.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use routes::{Kind, Overflow, USUAL_DAYS, Volume, WarmUp, day_of};

use super::{
    super::{
        chart,
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, done, show},
        texts,
    },
    changes::{ChangeRow, of_name},
    limits::label,
    refused::{Refused, answer},
};
use crate::{acts::Told, state::AppState};

/// Where the pages are.
const HOME: &str = "/sending/warm-ups";
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Days of mail that a plan's position is reckoned from: as many as a plan may have, and an idle month.
const DAYS_BACK: i64 = 400;

/// How a plan stands.
struct Row {
    plan: WarmUp,
    label: String,
    /// The day it is on, from 1; more than its days: it is over.
    day: i64,
    of: i64,
    over: bool,
    ahead: bool,
    sent: i64,
    /// Messages allowed today; none: no limit any more.
    allowed: Option<i64>,
    meter: String,
    /// The first day without a limit, when mail goes every day; microseconds UTC.
    warm_at: i64,
    overflow: &'static str,
}

impl Row {
    fn of(plan: &WarmUp, volumes: &[Volume], today: i64, label: String) -> Row {
        let mine = || {
            let own = |volume: &&Volume| volume.source == plan.source && volume.site == plan.provider;
            volumes.iter().filter(own)
        };
        let used: Vec<i64> = mine().filter(|volume| volume.messages > 0).map(|volume| volume.day).collect();
        let sent: i64 = mine().filter(|volume| volume.day == today).map(|volume| volume.messages).sum();
        let allowed = plan.allowance(today, &used).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let (position, of) = (plan.position(today, &used), plan.days.len());
        let begins = today.max(plan.start_day);
        let left = i64::try_from(of.saturating_sub(position)).unwrap_or(0);
        Row {
            label,
            day: position as i64 + 1,
            of: of as i64,
            over: allowed.is_none(),
            ahead: today < plan.start_day,
            meter: allowed
                .filter(|allowed| *allowed > 0)
                .map(|allowed| chart::meter(&[("accent", sent.min(allowed))], allowed, "thin"))
                .unwrap_or_default(),
            sent,
            allowed,
            warm_at: (begins + left) * DAY_US,
            overflow: word(plan.overflow),
            plan: plan.clone(),
        }
    }
}

fn word(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::Warm => "warm",
        Overflow::Wait => "wait",
    }
}

#[derive(Template)]
#[template(path = "sending_warm_ups.html")]
struct WarmUpsPage {
    page: Page,
    rows: Vec<Row>,
}

/// `GET /sending/warm-ups`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let today = day_of(state.clock.now_us());
    let rules = state.routes.rules();
    let volumes =
        if rules.warm_ups.is_empty() { Vec::new() } else { state.routes.volumes(today - DAYS_BACK).await? };
    let row = |plan: &WarmUp| Row::of(plan, &volumes, today, label(&plan.provider, &rules.providers));
    show(&WarmUpsPage { page: desk.page(Place::Sources), rows: rules.warm_ups.iter().map(row).collect() })
}

/// The form as it is typed.
struct Typed {
    source: String,
    provider: String,
    start: String,
    days: String,
    overflow: String,
}

impl Typed {
    fn of(plan: &WarmUp) -> Typed {
        let days: Vec<String> = plan.days.iter().map(ToString::to_string).collect();
        Typed {
            source: plan.source.clone(),
            provider: plan.provider.clone(),
            start: date(plan.start_day),
            days: days.join(" "),
            overflow: word(plan.overflow).to_owned(),
        }
    }

    fn sent(form: &Form) -> Typed {
        let word = |field: &str| form.get(field).to_owned();
        Typed {
            source: word("source"),
            provider: word("provider").to_lowercase(),
            start: word("start"),
            days: word("days"),
            overflow: word("overflow"),
        }
    }

    fn read(&self) -> Result<WarmUp, Refused> {
        let refused = |field: &str| Refused::new(field, texts::pick("warm-up-refused", field));
        let words = self.days.split([' ', '\n', ';', '\t']).map(str::trim).filter(|word| !word.is_empty());
        // `1,000` and `1_000` are numbers as people write them.
        let days: Result<Vec<u32>, _> = words.map(|word| word.replace([',', '_'], "").parse()).collect();
        Ok(WarmUp {
            source: self.source.clone(),
            provider: self.provider.clone(),
            start_day: day(&self.start).ok_or_else(|| refused("start"))?,
            days: days.map_err(|_| refused("days"))?,
            overflow: if self.overflow == "wait" { Overflow::Wait } else { Overflow::Warm },
        })
    }
}

/// A day of the plan as a date field has it.
pub(super) fn date(day: i64) -> String {
    let at = jiff::Timestamp::from_second(day.saturating_mul(86_400));
    at.map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// The day that a date field says. Days of plans are UTC's, wherever the reader is.
fn day(text: &str) -> Option<i64> {
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second().div_euclid(86_400))
}

#[derive(Template)]
#[template(path = "sending_warm_up.html")]
struct WarmUpPage {
    page: Page,
    is_new: bool,
    heading: String,
    action: String,
    form: Typed,
    sources: Vec<String>,
    providers: Vec<(String, String)>,
    /// How it stands, when it is there already.
    row: Option<Row>,
    changes: Vec<ChangeRow>,
    refused: Refused,
}

async fn form_page(
    desk: &Desk,
    state: &AppState,
    plan: Option<&WarmUp>,
    form: Typed,
    refused: Refused,
) -> Result<WarmUpPage, Fault> {
    let rules = state.routes.rules();
    let today = day_of(state.clock.now_us());
    let known = rules.providers.list().iter();
    let (mut row, mut changes) = (None, Vec::new());
    if let Some(plan) = plan {
        let volumes = state.routes.volumes(today - DAYS_BACK).await?;
        row = Some(Row::of(plan, &volumes, today, label(&plan.provider, &rules.providers)));
        changes = of_name(state, Kind::WarmUp, &format!("{} {}", plan.source, plan.provider)).await?;
    }
    Ok(WarmUpPage {
        page: desk.page(Place::Sources),
        is_new: plan.is_none(),
        heading: plan.map_or_else(
            || texts::text("warm-up-new"),
            |plan| texts::text_ss("warm-up-of", &plan.source, &label(&plan.provider, &rules.providers)),
        ),
        action: plan.map_or_else(
            || format!("{HOME}/new"),
            |plan| format!("{HOME}/{}/{}", plan.source, plan.provider),
        ),
        form,
        sources: rules.sources.iter().map(|source| source.name.clone()).collect(),
        providers: known
            .map(|provider| (provider.name.clone(), label(&provider.name, &rules.providers)))
            .collect(),
        row,
        changes,
        refused,
    })
}

/// `GET /sending/warm-ups/new`: the usual ramp, from today.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let usual = WarmUp {
        source: String::new(),
        provider: String::new(),
        start_day: day_of(state.clock.now_us()),
        days: USUAL_DAYS.to_vec(),
        overflow: Overflow::Warm,
    };
    show(&form_page(&desk, &state, None, Typed::of(&usual), Refused::default()).await?)
}

fn find(state: &AppState, source: &str, provider: &str) -> Result<WarmUp, Fault> {
    state.routes.rules().warm_up(source, provider).cloned().ok_or_else(|| Fault::not_found("warm-up"))
}

/// `GET /sending/warm-ups/{source}/{provider}`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path((source, provider)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let plan = find(&state, &source, &provider)?;
    show(&form_page(&desk, &state, Some(&plan), Typed::of(&plan), Refused::default()).await?)
}

async fn keep(desk: &Desk, state: &AppState, plan: Option<&WarmUp>, typed: Typed) -> Result<Response, Fault> {
    let kept = match typed.read() {
        Ok(new) => {
            let told = Told::about(format!("{} {}", new.source, new.provider));
            let put = state.routes.put_warm_up(new, &desk.viewer.name, state.clock.now_us()).await;
            Refused::unless(put, |field| texts::pick("warm-up-field", field))?.map(|()| told)
        }
        Err(refused) => Err(refused),
    };
    answer(kept, (HOME, "saved"), async |refused| form_page(desk, state, plan, typed, refused).await).await
}

/// `POST /sending/warm-ups/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let typed = Typed::sent(&form);
    if state.routes.rules().warm_up(&typed.source, &typed.provider).is_none() {
        return keep(&desk, &state, None, typed).await;
    }
    let taken = Refused::taken("provider", texts::text("warm-up-exists"));
    let page = async |refused| form_page(&desk, &state, None, typed, refused).await;
    answer(Err(taken), (HOME, "saved"), page).await
}

/// `POST /sending/warm-ups/{source}/{provider}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path((source, provider)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Fault> {
    let plan = find(&state, &source, &provider)?;
    let typed = Typed { source, provider, ..Typed::sent(&form) };
    keep(&desk, &state, Some(&plan), typed).await
}

/// `POST /sending/warm-ups/{source}/{provider}/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path((source, provider)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let (who, now_us) = (&desk.viewer.name, state.clock.now_us());
    state.routes.remove_warm_up(&source, &provider, who, now_us).await?;
    Ok(done(HOME, "deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> WarmUp {
        WarmUp {
            source: "mta-a".into(),
            provider: "google".into(),
            start_day: 20_000,
            days: vec![50, 100, 250],
            overflow: Overflow::Wait,
        }
    }

    fn sent(day: i64, messages: i64) -> Volume {
        Volume { source: "mta-a".into(), site: "google".into(), day, messages, bytes: 0 }
    }

    #[test]
    fn a_plan_stands_where_its_mail_has_brought_it() {
        let row = |today, volumes: &[Volume]| Row::of(&plan(), volumes, today, String::new());
        let ahead = row(19_999, &[]);
        assert!(ahead.ahead && ahead.allowed == Some(0));
        assert_eq!(ahead.warm_at, 20_003 * DAY_US);
        let second = row(20_001, &[sent(20_000, 50), sent(20_001, 30)]);
        assert_eq!((second.day, second.sent, second.allowed), (2, 30, Some(100)));
        assert_eq!(second.warm_at, 20_003 * DAY_US);
        let over = row(20_003, &[sent(20_000, 50), sent(20_001, 99), sent(20_002, 1)]);
        assert!(over.over && over.allowed.is_none());
    }

    #[test]
    fn what_is_typed_is_the_plan_again() {
        assert_eq!(Typed::of(&plan()).read().unwrap(), plan());
        let written = Typed { days: "50 1,000\n2_500".into(), ..Typed::of(&plan()) };
        assert_eq!(written.read().unwrap().days, [50, 1_000, 2_500]);
        let wrong = Typed { days: "50 many".into(), ..Typed::of(&plan()) };
        assert_eq!(wrong.read().unwrap_err().at, "days");
        let wrong = Typed { start: "soon".into(), ..Typed::of(&plan()) };
        assert_eq!(wrong.read().unwrap_err().at, "start");
    }
}
