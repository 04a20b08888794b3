//! The Schedule tab: when sending begins, at whose time, in which waves, and when it holds by itself.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{
    Definition, Delivery, Edit, WavePlan,
    definition::{Brake, Schedule, WaveLine, Waves},
};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        reader,
    },
    frame::{Frame, answer},
    sheet::based_on,
};
use crate::state::AppState;

/// Empty lines that a calendar of waves offers.
const SPARE_LINES: usize = 2;
/// The tab.
const TAB: &str = "schedule";

struct WaveRow {
    number: usize,
    start: String,
    size: String,
}

#[derive(Template)]
#[template(path = "delivery_schedule.html")]
struct SchedulePage {
    page: Page,
    frame: Frame,
    schedule: Schedule,
    /// `now` or `date`.
    when: &'static str,
    zones: Vec<String>,
    contact: Option<i64>,
    notes: Vec<String>,
    past: bool,
    /// `none`, `equal` or `calendar`.
    mode: &'static str,
    waves: Waves,
    rows: Vec<WaveRow>,
    quiet_from: String,
    quiet_until: String,
    plan: Vec<WavePlan>,
    /// The plan is of the delivery as it was before an edit.
    outdated: bool,
}

/// `GET /deliveries/{id}/schedule`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, TAB).await?;
    show(&build(&desk, &state, &found, frame).await?)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery, frame: Frame) -> Result<SchedulePage, Fault> {
    let definition = &found.definition;
    let mut schedule = definition.schedule.clone();
    let is_dated = !schedule.contact_date.is_empty();
    if !is_dated && schedule.time_zone == Schedule::default().time_zone && !reader::zone_name().is_empty() {
        // People say times by their own clock, until they choose another.
        schedule.time_zone = reader::zone_name();
    }
    let reckoned = delivery::schedule::Plan::of(definition, state.clock.now_us()).ok();
    let waves = definition.waves.clone().unwrap_or_default();
    let (quiet_from, quiet_until) = schedule.quiet_hours.split_once('-').unwrap_or_default();
    Ok(SchedulePage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        when: if is_dated { "date" } else { "now" },
        zones: zones(),
        contact: reckoned.as_ref().and_then(|plan| plan.contact_us),
        past: reckoned.as_ref().is_some_and(|plan| plan.past) && frame.editable,
        notes: reckoned.map(|plan| plan.notes).unwrap_or_default(),
        mode: match (&waves.calendar.is_empty(), waves.size.is_empty()) {
            (false, _) => "calendar",
            (true, false) => "equal",
            (true, true) => "none",
        },
        rows: wave_rows(&waves),
        waves,
        quiet_from: quiet_from.trim().to_owned(),
        quiet_until: quiet_until.trim().to_owned(),
        plan: state.deliveries.waves(found.id).await?,
        outdated: !super::steps::is_analysed(found) && !super::steps::is_confirmed(found),
        schedule,
        frame,
    })
}

/// The names of all time zones.
pub fn zones() -> Vec<String> {
    jiff::tz::db().available().map(|zone| zone.to_string()).collect()
}

fn wave_rows(waves: &Waves) -> Vec<WaveRow> {
    let lines = waves.calendar.iter().cloned();
    let spare =
        std::iter::repeat_n(WaveLine::default(), SPARE_LINES + usize::from(waves.calendar.is_empty()));
    let rows = lines.chain(spare).enumerate();
    rows.map(|(index, line)| WaveRow { number: index + 1, start: line.start, size: line.size }).collect()
}

/// Puts what the form sent into a definition.
fn apply(definition: &mut Definition, form: &Form) {
    let said = |name: &str| form.get(name).to_owned();
    let is_dated = form.get("when") == "date";
    let schedule = &mut definition.schedule;
    schedule.contact_date = if is_dated { said("contact_date") } else { String::new() };
    if form.has("time_zone") {
        schedule.time_zone = said("time_zone");
    }
    schedule.recipient_time_zone = is_dated && form.has("recipient_time_zone");
    schedule.automatic = !(is_dated && form.get("start") == "provisional");
    schedule.grace = said("grace");
    schedule.quiet_hours = match (form.get("quiet_from"), form.get("quiet_until")) {
        ("", "") => String::new(),
        (from, until) => format!("{from}-{until}"),
    };
    definition.waves = waves_of(form);
}

fn waves_of(form: &Form) -> Option<Waves> {
    let said = |name: &str| form.get(name).to_owned();
    let mut waves = Waves {
        brake: Brake {
            hard_bounces: share(form.get("hard_bounces")),
            complaints: share(form.get("complaints")),
            deferrals: share(form.get("deferrals")),
        },
        ..Waves::default()
    };
    match form.get("mode") {
        "equal" => (waves.size, waves.period) = (said("size"), said("period")),
        "calendar" => {
            let lines = form.all("wave_start").into_iter().zip(form.all("wave_size"));
            let lines = lines.map(|(start, size)| (start.trim(), size.trim()));
            waves.calendar = lines
                .filter(|(start, size)| !start.is_empty() || !size.is_empty())
                .map(|(start, size)| {
                    let start = if start.is_empty() { "0s" } else { start };
                    WaveLine { start: start.to_owned(), size: size.to_owned() }
                })
                .collect();
        }
        _ => {}
    }
    (waves != Waves::default()).then_some(waves)
}

/// A share as people type it: `5` means `5%`.
fn share(text: &str) -> String {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    if is_number { format!("{text}%") } else { text.to_owned() }
}

/// `POST /deliveries/{id}/schedule`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    apply(&mut found.definition, &form);
    let edit = Edit {
        definition: Some(found.definition.clone()),
        based_on: based_on(&form),
        by: desk.viewer.name.clone(),
        ..Edit::default()
    };
    let outcome = state.deliveries.edit(id, edit).await;
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, (TAB, "saved"), page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fields: &[(&str, &str)]) -> Definition {
        let mut definition = Definition::new("x");
        apply(&mut definition, &Form::of(fields));
        definition
    }

    #[test]
    fn a_date_brings_what_needs_one() {
        let base = [("contact_date", "2026-12-01T08:00"), ("time_zone", "Asia/Tokyo"), ("grace", "1h")];
        let choices = [("recipient_time_zone", "1"), ("start", "provisional")];
        let with = |when| {
            let all: Vec<_> = base.into_iter().chain(choices).chain([("when", when)]).collect();
            sent(&all).schedule
        };
        let (dated, at_once) = (with("date"), with("now"));
        assert!(dated.recipient_time_zone && !dated.automatic && dated.time_zone == "Asia/Tokyo");
        assert!(at_once.contact_date.is_empty() && !at_once.recipient_time_zone && at_once.automatic);
    }

    #[test]
    fn waves_are_none_equal_or_by_a_calendar() {
        assert_eq!(sent(&[("mode", "none"), ("size", "25%")]).waves, None);
        let equal = sent(&[("mode", "equal"), ("size", "25%"), ("period", "1d")]).waves.unwrap();
        assert_eq!((equal.size.as_str(), equal.period.as_str()), ("25%", "1d"));
        let calendar = sent(&[
            ("mode", "calendar"),
            ("wave_start", ""),
            ("wave_size", "1000"),
            ("wave_start", "6h"),
            ("wave_size", "75%"),
            ("wave_start", ""),
            ("wave_size", " "),
        ]);
        let lines = calendar.waves.unwrap().calendar;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].start.as_str(), lines[1].size.as_str()), ("0s", "75%"));
    }

    #[test]
    fn a_brake_alone_is_kept_and_its_numbers_are_percent() {
        let waves = sent(&[("mode", "none"), ("hard_bounces", "5"), ("complaints", "0.3%")]).waves.unwrap();
        assert_eq!((waves.brake.hard_bounces.as_str(), waves.brake.complaints.as_str()), ("5%", "0.3%"));
        assert!(waves.size.is_empty() && waves.brake.deferrals.is_empty());
    }

    #[test]
    fn quiet_hours_are_two_clock_times() {
        let quiet = sent(&[("quiet_from", "21:00"), ("quiet_until", "08:00")]).schedule.quiet_hours;
        assert_eq!(quiet, "21:00-08:00");
        assert_eq!(sent(&[]).schedule.quiet_hours, "");
    }
}
