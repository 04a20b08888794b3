//! When sending starts: the contact date in its zone, quiet hours, and what is provisional.
//!
//! A contact date is a wall-clock time of an IANA zone. An hour that the clocks skip is taken as the one after the gap, an
//! hour that comes twice as the first; both are said in the analysis. The moment is frozen by the analysis.

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use store::{Tx, binds};

use crate::definition::{Definition, Schedule};
use crate::folder::Refusal;
use crate::parameters::{Sending, duration_us};
use crate::types::{Closed, Delivery, DeliveryId, Result, State};

/// Longest grace: what is later than a week is a new decision in any case.
pub const GRACE_DAYS_MAX: i64 = 7;
/// How long after its analysis a delivery without a contact date may start when its quiet hours were reckoned for a start at
/// once. Each minute makes what waits for a morning so much later, and an hour is what nobody minds.
pub const START_DELAY_MAX_US: i64 = 3_600 * crate::parameters::SECOND_US;

/// Hours of the day by the clocks of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayHours(store::DayHours);

impl DayHours {
    /// Reads `21:00-08:00`. `None`: no such text, or both ends are the same.
    pub fn parse(text: &str) -> Option<DayHours> {
        text.parse().ok().map(DayHours)
    }

    /// Is this moment (µs) within the hours, by the clocks of the zone?
    pub fn contains(&self, at_us: i64, zone: &TimeZone) -> bool {
        local(at_us, zone).is_some_and(|local| self.holds(local.time()))
    }

    /// The moment itself when it is outside, else the end of the hours that it is in (µs).
    pub fn end_of(&self, at_us: i64, zone: &TimeZone) -> i64 {
        match local(at_us, zone) {
            Some(local) if self.holds(local.time()) => {
                next(local, clock(self.0.to_minute()), zone).unwrap_or(at_us)
            }
            _ => at_us,
        }
    }

    /// The moment itself when it is within the hours, else their next beginning (µs).
    pub fn next_inside(&self, at_us: i64, zone: &TimeZone) -> i64 {
        match local(at_us, zone) {
            Some(local) if !self.holds(local.time()) => {
                next(local, clock(self.0.from_minute()), zone).unwrap_or(at_us)
            }
            _ => at_us,
        }
    }

    /// When they last began, at this moment (µs) or before.
    pub fn last_begin(&self, at_us: i64, zone: &TimeZone) -> i64 {
        let Some(local) = local(at_us, zone) else { return at_us };
        let today = local.date().to_datetime(clock(self.0.from_minute()));
        let day = if today <= local { Some(today) } else { today.checked_sub(1.day()).ok() };
        day.and_then(|day| moment(day, zone)).unwrap_or(at_us).min(at_us)
    }

    fn holds(&self, time: Time) -> bool {
        let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute()));
        minute.is_ok_and(|minute| self.0.holds(minute))
    }
}

/// A minute of the day as the clocks show it.
fn clock(minute: u16) -> Time {
    let (hour, minute) = (minute / 60, minute % 60);
    let of = |n: u16| i8::try_from(n).unwrap_or_default();
    Time::new(of(hour), of(minute), 0, 0).unwrap_or_default()
}

/// The first time after `local` at which the zone's clocks show `time`.
fn next(local: DateTime, time: Time, zone: &TimeZone) -> Option<i64> {
    let today = local.date().to_datetime(time);
    let day = if today > local { today } else { today.checked_add(1.day()).ok()? };
    moment(day, zone)
}

/// What the zone's clocks show at a moment; `None` outside the years that can be written.
pub(crate) fn local(at_us: i64, zone: &TimeZone) -> Option<DateTime> {
    Some(zone.to_datetime(Timestamp::from_microsecond(at_us).ok()?))
}

/// The moment (µs) at which the zone's clocks show `local`: after a gap, the first of two.
pub(crate) fn moment(local: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_ambiguous_timestamp(local).compatible().ok()?.as_microsecond())
}

/// A moment in words for journals: `2026-12-01 08:00 Europe/Berlin`.
pub(crate) fn shown(at_us: i64, zone: &TimeZone) -> String {
    let name = zone.iana_name().unwrap_or("UTC");
    match local(at_us, zone) {
        Some(local) => format!("{} {name}", local.strftime("%Y-%m-%d %H:%M")),
        None => format!("{at_us} µs"),
    }
}

/// The schedule of a delivery, reckoned at one moment: that of its analysis.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The contact date (µs); `None`: as soon as possible after Confirm.
    pub contact_us: Option<i64>,
    /// The contact date, else the moment of reckoning (µs). Waves and validity count from here.
    pub start_us: i64,
    /// The moment of reckoning (µs).
    pub reckoned_at: i64,
    /// The zone of the delivery's dates.
    pub zone: TimeZone,
    /// Send at this wall-clock time in each recipient's own zone.
    pub recipient_zone: bool,
    /// Hours in which nothing is sent, by the clocks of each recipient's zone; those without one have the delivery's.
    pub quiet: Option<DayHours>,
    /// How late sending may begin by itself (µs).
    pub grace_us: i64,
    /// The contact date lay before the moment of reckoning.
    pub past: bool,
    /// What was decided about a contact date that the clocks skip or show twice.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reckons a delivery's schedule at `now_us`. A provisional delivery is analysed on its date, so that a date that is
    /// over means "as soon as possible" there.
    pub fn of(definition: &Definition, now_us: i64) -> Result<Plan, Refusal> {
        let schedule = &definition.schedule;
        let mut plan = Plan { zone: zone_of(schedule)?, ..Plan::at_once(now_us) };
        plan.grace_us = grace_us(schedule)?;
        plan.quiet = quiet_hours(schedule)?;
        let Some((contact_us, note)) = contact(schedule, &plan.zone)? else { return Ok(plan) };
        let over = contact_us < now_us;
        if over && is_provisional(definition) {
            return Ok(plan);
        }
        plan.notes.extend(note);
        plan.past = over;
        plan.contact_us = Some(contact_us);
        plan.start_us = contact_us;
        plan.recipient_zone = schedule.recipient_time_zone;
        Ok(plan)
    }

    /// As soon as possible, for everybody at once: proofs.
    pub fn at_once(now_us: i64) -> Plan {
        Plan {
            contact_us: None,
            start_us: now_us,
            reckoned_at: now_us,
            zone: TimeZone::UTC,
            recipient_zone: false,
            quiet: None,
            grace_us: 0,
            past: false,
            notes: Vec::new(),
        }
    }

    /// What a delivery's run needs of its parameters; validity counts from the contact date.
    pub fn sending(&self, definition: &Definition) -> Result<Sending, Refusal> {
        Sending::in_zone(&definition.parameters, self.start_us, &self.zone)
    }

    /// Each recipient's zone decides when the message is due.
    pub fn wants_zones(&self) -> bool {
        self.recipient_zone || self.quiet.is_some()
    }

    /// When a message of a wave that starts at `start_us` is due for somebody in `zone` (µs): moved to that zone, then to
    /// the end of the quiet hours.
    pub(crate) fn due_us(&self, start_us: i64, zone: &TimeZone) -> i64 {
        let moved = match self.recipient_zone {
            true => local(start_us, &self.zone).and_then(|local| moment(local, zone)).unwrap_or(start_us),
            false => start_us,
        };
        self.quiet.map_or(moved, |quiet| quiet.end_of(moved, zone))
    }

    /// `steps` later than `from_us` (µs). Whole days are days of the calendar when there is a contact date: a wave a day
    /// keeps its hour when the clocks change.
    pub(crate) fn after(&self, from_us: i64, step: Step, steps: i64) -> Option<i64> {
        let us = step.us.checked_mul(steps)?;
        if self.contact_us.is_none() || step.days == 0 {
            let days_us = step.days.checked_mul(steps)?.checked_mul(86_400 * crate::parameters::SECOND_US)?;
            return from_us.checked_add(us)?.checked_add(days_us);
        }
        let from = Zoned::new(Timestamp::from_microsecond(from_us).ok()?, self.zone.clone());
        let days = i32::try_from(step.days.checked_mul(steps)?).ok()?;
        let moved = from.checked_add(days.days()).ok()?;
        moved.timestamp().as_microsecond().checked_add(us)
    }
}

/// A delay: whole days of the calendar, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Step {
    pub days: i64,
    pub us: i64,
}

impl Step {
    /// Reads a duration: days and years count in days.
    pub fn parse(text: &str) -> Option<Step> {
        let us = duration_us(text)?;
        let day_us = 86_400 * crate::parameters::SECOND_US;
        let in_days = text.trim().ends_with(|c: char| c == 'd' || c == 'y' || c.is_ascii_digit());
        Some(if in_days { Step { days: us / day_us, us: 0 } } else { Step { days: 0, us } })
    }

    pub fn is_none(self) -> bool {
        self == Step::default()
    }
}

/// Is the delivery analysed on its date and not sent by itself?
pub fn is_provisional(definition: &Definition) -> bool {
    !definition.schedule.automatic && !definition.schedule.contact_date.trim().is_empty()
}

/// The state in which a delivery rests that was saved: a provisional one waits for its date.
pub fn resting_state(definition: &Definition) -> State {
    if is_provisional(definition) { State::TargetingPending } else { State::Draft }
}

/// When a provisional delivery is to be analysed (µs).
pub(crate) fn targets_at(definition: &Definition) -> Option<i64> {
    let schedule = &definition.schedule;
    let zone = zone_of(schedule).ok()?;
    let (contact_us, _) = contact(schedule, &zone).ok()??;
    is_provisional(definition).then_some(contact_us)
}

/// Refuses a schedule that cannot be kept.
pub(crate) fn check(definition: &Definition) -> Result<(), Refusal> {
    let schedule = &definition.schedule;
    let zone = zone_of(schedule)?;
    contact(schedule, &zone)?;
    quiet_hours(schedule)?;
    grace_us(schedule)?;
    let dated = !schedule.contact_date.trim().is_empty();
    if schedule.recipient_time_zone && !dated {
        return Err(Refusal::new(
            "schedule.recipient_time_zone",
            "needs schedule.contact_date: without a date there is no hour to keep in each zone",
        ));
    }
    if schedule.recipient_time_zone && !schedule.automatic {
        return Err(Refusal::new(
            "schedule.recipient_time_zone",
            "needs schedule.automatic: a provisional delivery is analysed on the date itself, when it is too late in \
             the zones to the east",
        ));
    }
    if !schedule.automatic && !dated {
        return Err(Refusal::new(
            "schedule.automatic",
            "can be false only with schedule.contact_date: that is when it is analysed",
        ));
    }
    Ok(())
}

fn zone_of(schedule: &Schedule) -> Result<TimeZone, Refusal> {
    let name = schedule.time_zone.trim();
    zone_named(name).ok_or_else(|| {
        Refusal::new(
            "schedule.time_zone",
            format!("{name:?} is no time zone; write an IANA name like Europe/Berlin, or UTC"),
        )
    })
}

/// Looks up an IANA name. The zone of this machine is no zone of a delivery.
pub(crate) fn zone_named(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    let fits = !name.is_empty() && name.len() <= 64 && !name.eq_ignore_ascii_case("local");
    fits.then(|| TimeZone::get(name).ok()).flatten()
}

fn quiet_hours(schedule: &Schedule) -> Result<Option<DayHours>, Refusal> {
    let text = schedule.quiet_hours.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let refusal = || Refusal::new("schedule.quiet_hours", "are no hours like 21:00-08:00");
    DayHours::parse(text).map(Some).ok_or_else(refusal)
}

fn grace_us(schedule: &Schedule) -> Result<i64, Refusal> {
    let day_us = 86_400 * crate::parameters::SECOND_US;
    let grace = duration_us(&schedule.grace).ok_or_else(|| {
        Refusal::new("schedule.grace", "is no duration: write a number and s, m, h or d, like 1h")
    })?;
    if grace > GRACE_DAYS_MAX * day_us {
        return Err(Refusal::new("schedule.grace", format!("is longer than {GRACE_DAYS_MAX}d")));
    }
    Ok(grace)
}

/// The contact date (µs), and what was decided when the clocks skip it or show it twice.
fn contact(schedule: &Schedule, zone: &TimeZone) -> Result<Option<(i64, Option<String>)>, Refusal> {
    let text = schedule.contact_date.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let refusal = || {
        Refusal::new(
            "schedule.contact_date",
            "is no date and time like 2026-12-01T08:00 (by the clocks of schedule.time_zone)",
        )
    };
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(Some((instant.as_microsecond(), None)));
    }
    let has_time = text.contains(['T', 't', ' ']);
    let local: DateTime = text.parse().ok().filter(|_| has_time).ok_or_else(refusal)?;
    let moment = moment(local, zone).ok_or_else(refusal)?;
    Ok(Some((moment, note_of(local, moment, zone))))
}

fn note_of(local: DateTime, moment_us: i64, zone: &TimeZone) -> Option<String> {
    let written = local.strftime("%Y-%m-%d %H:%M");
    let name = zone.iana_name().unwrap_or("this zone");
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => Some(format!(
            "{written} does not exist in {name}, because the clocks go forward: sending starts at {}",
            shown(moment_us, zone)
        )),
        AmbiguousOffset::Fold { before, .. } => Some(format!(
            "{written} comes twice in {name}, because the clocks go back: the first one is taken (UTC{before}); write the \
             offset behind the time for the other"
        )),
    }
}

/// What an analysis froze of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timetable {
    /// When it was reckoned (µs).
    pub planned_at: i64,
    /// The contact date (µs); `None`: as soon as possible after Confirm.
    pub contact_us: Option<i64>,
    /// The earliest due time of a message (µs), which the due times of all parts count from.
    pub starts_at: i64,
    /// Confirm may not come later (µs), because quiet hours were reckoned for a start at once.
    pub start_before: Option<i64>,
}

impl Timetable {
    /// Why Confirm comes too late now.
    pub fn closed(&self, definition: &Definition, now_us: i64) -> Option<Closed> {
        let grace_us = grace_us(&definition.schedule).unwrap_or_default();
        if self.contact_us.is_some_and(|contact_us| now_us - contact_us > grace_us) {
            return Some(Closed::ContactDatePast);
        }
        self.start_before.is_some_and(|before| now_us >= before).then_some(Closed::QuietHoursStale)
    }
}

/// When a run begins that is confirmed now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// Parts' due times count from here (µs).
    pub start_at: i64,
    /// Priority, retries and the end of validity, which counts from the contact date.
    pub sending: Sending,
}

/// Reckons the start of a run for Confirm. Without a timetable (a proof) it is now.
pub(crate) fn start_of(delivery: &Delivery, frozen: Option<&Timetable>, now_us: i64) -> Result<Start> {
    let definition = &delivery.definition;
    let contact =
        frozen.and_then(|frozen| frozen.contact_us.map(|contact_us| (contact_us, frozen.starts_at)));
    let zone = zone_of(&definition.schedule)?;
    let (validity_from, start_at) = contact.unwrap_or((now_us, now_us));
    Ok(Start { start_at, sending: Sending::in_zone(&definition.parameters, validity_from, &zone)? })
}

/// Keeps what an analysis froze.
pub(crate) fn keep(tx: &mut Tx<'_>, id: DeliveryId, table: &Timetable) -> Result<()> {
    forget(tx, id)?;
    tx.execute(
        "INSERT INTO timetable (delivery, planned_at, contact_us, starts_at, start_before, late) \
         VALUES ($1, $2, $3, $4, $5, 0)",
        &binds![id, table.planned_at, table.contact_us, table.starts_at, table.start_before],
    )?;
    Ok(())
}

/// Forgets it, when a new analysis begins.
pub(crate) fn forget(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute("DELETE FROM timetable WHERE delivery = $1", &binds![id])?;
    tx.execute("DELETE FROM wave_plan WHERE delivery = $1", &binds![id])?;
    Ok(())
}

/// What the last analysis froze; `None`: it was none of a delivery proper.
pub(crate) fn frozen(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<Timetable>> {
    tx.query_opt(
        "SELECT planned_at, contact_us, starts_at, start_before FROM timetable WHERE delivery = $1",
        &binds![id],
        |row| {
            Ok(Timetable {
                planned_at: row.int(0)?,
                contact_us: row.int_opt(1)?,
                starts_at: row.int(2)?,
                start_before: row.int_opt(3)?,
            })
        },
    )
}

/// Keeps in mind when a provisional delivery is to be analysed; called whenever a definition is saved.
pub(crate) fn remember(tx: &mut Tx<'_>, id: DeliveryId, definition: &Definition) -> Result<()> {
    tx.execute("DELETE FROM provisional WHERE delivery = $1", &binds![id])?;
    if let Some(at) = targets_at(definition) {
        tx.execute("INSERT INTO provisional (delivery, at) VALUES ($1, $2)", &binds![id, at])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    fn berlin() -> TimeZone {
        zone_named("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn dated(date: &str, zone: &str) -> Definition {
        let mut definition = Definition::new("October");
        definition.schedule.contact_date = date.into();
        definition.schedule.time_zone = zone.into();
        definition
    }

    fn refused(change: impl FnOnce(&mut Schedule)) -> String {
        let mut definition = dated("2026-12-01T08:00", "UTC");
        change(&mut definition.schedule);
        check(&definition).unwrap_err().field
    }

    #[test]
    fn a_contact_date_is_a_time_of_its_zone() {
        let plan = Plan::of(&dated("2026-12-01T08:00", "Europe/Berlin"), 0).unwrap();
        assert_eq!(plan.contact_us, Some(at("2026-12-01T07:00Z")));
        assert_eq!(plan.start_us, at("2026-12-01T07:00Z"));
        assert!(plan.notes.is_empty() && !plan.past);
        let plan = Plan::of(&dated("2026-07-01T08:00", "Asia/Tokyo"), at("2026-07-02T00:00Z")).unwrap();
        assert!(plan.past);
        let plan = Plan::of(&dated("2026-12-01T08:00+05:00", "UTC"), 0).unwrap();
        assert_eq!(plan.contact_us, Some(at("2026-12-01T03:00Z")));
    }

    #[test]
    fn hours_that_clocks_skip_or_show_twice_are_resolved_and_said() {
        let gap = Plan::of(&dated("2026-03-29T02:30", "Europe/Berlin"), 0).unwrap();
        assert_eq!(gap.contact_us, Some(at("2026-03-29T01:30Z")), "03:30 summer time");
        assert!(gap.notes[0].contains("does not exist") && gap.notes[0].contains("03:30"), "{:?}", gap.notes);
        let fold = Plan::of(&dated("2026-10-25T02:30", "Europe/Berlin"), 0).unwrap();
        assert_eq!(fold.contact_us, Some(at("2026-10-25T00:30Z")), "still summer time");
        assert!(fold.notes[0].contains("twice"), "{:?}", fold.notes);
        let second = Plan::of(&dated("2026-10-25T02:30+01:00", "Europe/Berlin"), 0).unwrap();
        assert_eq!((second.contact_us, second.notes.len()), (Some(at("2026-10-25T01:30Z")), 0));
    }

    #[test]
    fn validity_counts_from_the_contact_date_and_its_end_is_a_time_of_the_zone() {
        let mut definition = dated("2026-12-01T08:00", "Europe/Berlin");
        definition.parameters.validity = "2d".into();
        let until = |definition: &Definition| {
            Plan::of(definition, 0).unwrap().sending(definition).unwrap().valid_until_us
        };
        assert_eq!(until(&definition), at("2026-12-03T07:00Z"));
        definition.parameters.valid_until = "2026-12-06T08:00".into();
        assert_eq!(until(&definition), at("2026-12-06T07:00Z"));
    }

    #[test]
    fn each_zone_has_its_own_hour_and_its_own_night() {
        let mut definition = dated("2026-12-01T08:00", "Europe/Berlin");
        definition.schedule.recipient_time_zone = true;
        definition.schedule.quiet_hours = "21:00-09:00".into();
        let plan = Plan::of(&definition, 0).unwrap();
        let tokyo = zone_named("Asia/Tokyo").unwrap();
        assert_eq!(plan.due_us(plan.start_us, &tokyo), at("2026-12-01T00:00Z"), "09:00 in Tokyo");
        assert_eq!(plan.due_us(plan.start_us, &berlin()), at("2026-12-01T08:00Z"), "09:00 in Berlin");
        definition.schedule.recipient_time_zone = false;
        let plan = Plan::of(&definition, 0).unwrap();
        assert_eq!(plan.due_us(plan.start_us, &tokyo), plan.start_us, "16:00 in Tokyo is no night");
    }

    #[test]
    fn quiet_hours_pass_midnight_and_the_night_of_the_clocks() {
        let hours = DayHours::parse("21:00-08:00").unwrap();
        assert!(hours.contains(at("2026-12-01T22:00Z"), &TimeZone::UTC));
        assert!(hours.contains(at("2026-12-01T07:59:59Z"), &TimeZone::UTC));
        assert!(!hours.contains(at("2026-12-01T08:00Z"), &TimeZone::UTC));
        assert_eq!(hours.end_of(at("2026-12-01T23:00Z"), &TimeZone::UTC), at("2026-12-02T08:00Z"));
        assert_eq!(hours.end_of(at("2026-12-02T03:00Z"), &TimeZone::UTC), at("2026-12-02T08:00Z"));
        assert_eq!(hours.end_of(at("2026-12-02T12:00Z"), &TimeZone::UTC), at("2026-12-02T12:00Z"));
        assert_eq!(hours.next_inside(at("2026-12-02T12:00Z"), &TimeZone::UTC), at("2026-12-02T21:00Z"));
        // The night of the clocks has 10 hours, and ends at 08:00 all the same.
        assert_eq!(hours.end_of(at("2026-03-28T20:30Z"), &berlin()), at("2026-03-29T06:00Z"));
        let short = DayHours::parse("01:00-02:30").unwrap();
        assert_eq!(
            short.end_of(at("2026-03-29T00:30Z"), &berlin()),
            at("2026-03-29T01:30Z"),
            "02:30 is skipped"
        );
        for wrong in
            ["", "21-08", "21:00", "24:00-08:00", "8:60-9:00", "08:00-08:00", "a:bc-d:ef", "21:00–08:00"]
        {
            assert_eq!(DayHours::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_step_of_days_keeps_the_hour_when_the_clocks_change() {
        let plan = Plan::of(&dated("2026-03-28T08:00", "Europe/Berlin"), 0).unwrap();
        let day = Step::parse("1d").unwrap();
        assert_eq!(plan.after(plan.start_us, day, 1), Some(at("2026-03-29T06:00Z")), "08:00 summer time");
        let hours = Step::parse("24h").unwrap();
        assert_eq!(plan.after(plan.start_us, hours, 1), Some(at("2026-03-29T07:00Z")));
        let at_once = Plan::at_once(0);
        assert_eq!(at_once.after(0, day, 2), Some(2 * 24 * 60 * MINUTE_US));
        assert_eq!(at_once.after(0, Step { days: i64::MAX, us: 0 }, 2), None);
    }

    #[test]
    fn a_provisional_delivery_waits_and_its_date_means_at_once() {
        let mut definition = dated("2026-12-01T08:00", "UTC");
        assert_eq!(resting_state(&definition), State::Draft);
        definition.schedule.automatic = false;
        assert_eq!(resting_state(&definition), State::TargetingPending);
        let date = at("2026-12-01T08:00Z");
        assert_eq!(targets_at(&definition), Some(date));
        assert_eq!(Plan::of(&definition, date + MINUTE_US).unwrap().contact_us, None);
        assert_eq!(Plan::of(&definition, date - MINUTE_US).unwrap().contact_us, Some(date));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_its_key() {
        assert_eq!(refused(|s| s.time_zone = "Europe/Atlantis".into()), "schedule.time_zone");
        assert_eq!(refused(|s| s.time_zone = String::new()), "schedule.time_zone");
        for date in ["soon", "2026-13-01T08:00", "2026-12-01", "9999999-01-01T00:00"] {
            assert_eq!(refused(|s| s.contact_date = date.into()), "schedule.contact_date", "{date}");
        }
        assert_eq!(refused(|s| s.quiet_hours = "21-8".into()), "schedule.quiet_hours");
        assert_eq!(refused(|s| s.grace = "8d".into()), "schedule.grace");
        assert_eq!(refused(|s| s.grace = "soon".into()), "schedule.grace");
        let undated = |change: fn(&mut Schedule)| refused(|s| (s.contact_date = String::new(), change(s)).1);
        assert_eq!(undated(|s| s.recipient_time_zone = true), "schedule.recipient_time_zone");
        assert_eq!(undated(|s| s.automatic = false), "schedule.automatic");
    }

    #[test]
    fn confirm_comes_too_late_after_the_grace_or_the_reckoned_start() {
        let mut definition = dated("2026-12-01T08:00", "UTC");
        let date = at("2026-12-01T08:00Z");
        let table = Timetable { planned_at: 0, contact_us: Some(date), starts_at: date, start_before: None };
        assert_eq!(table.closed(&definition, date + 59 * MINUTE_US), None);
        assert_eq!(table.closed(&definition, date + 61 * MINUTE_US), Some(Closed::ContactDatePast));
        definition.schedule.grace = "0s".into();
        assert_eq!(table.closed(&definition, date + 1), Some(Closed::ContactDatePast));
        let at_once = Timetable { contact_us: None, start_before: Some(5), ..table };
        assert_eq!(at_once.closed(&definition, 4), None);
        assert_eq!(at_once.closed(&definition, 5), Some(Closed::QuietHoursStale));
    }
}
