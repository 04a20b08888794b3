//! Waves: how many messages go when. Equal waves of a size and a period, or a calendar of lines.
//!
//! Wave k ends at floor(n x the sizes up to k), and the last takes the rest. Who is in which wave is decided by a scattered
//! rank of the recipient, so that each wave is a fair sample of all providers and of old and new recipients.

use crate::definition::{Definition, Waves};
use crate::folder::Refusal;
use crate::schedule::{Plan, Step};

/// Most waves of a delivery.
pub const WAVES_MAX: i64 = 1_000;
/// One percent, in millionths of the whole: sizes have up to four decimals.
const PERCENT: i64 = 10_000;
const WHOLE: i64 = 100 * PERCENT;

/// The size of a wave, or of anything that is a number or a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many messages.
    Messages(i64),
    /// Millionths of the whole.
    Share(i64),
}

impl Size {
    /// Reads `5000`, `25%` or `0.25%` (up to four decimals). `None`: no such text, or beyond 100 %.
    pub fn parse(text: &str) -> Option<Size> {
        let text = text.trim();
        let Some(percent) = text.strip_suffix('%') else {
            return digits(text).map(Size::Messages);
        };
        let (whole, part) = percent.trim_end().split_once('.').unwrap_or((percent.trim_end(), ""));
        if part.len() > 4 || (percent.contains('.') && part.is_empty()) {
            return None;
        }
        let decimals = if part.is_empty() { 0 } else { digits(&format!("{part:0<4}"))? };
        let share = digits(whole)?.checked_mul(PERCENT)?.checked_add(decimals)?;
        (share <= WHOLE).then_some(Size::Share(share))
    }

    /// Does it mean nothing at all?
    pub fn is_zero(self) -> bool {
        matches!(self, Size::Messages(0) | Size::Share(0))
    }

    /// Of `whole` messages, rounded down.
    pub fn of(self, whole: i64) -> i64 {
        match self {
            Size::Messages(n) => n.min(whole),
            Size::Share(share) => (i128::from(whole) * i128::from(share) / i128::from(WHOLE)) as i64,
        }
    }
}

fn digits(text: &str) -> Option<i64> {
    let fits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// One wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wave {
    /// When it starts (µs).
    pub start_us: i64,
    /// Its messages.
    pub messages: i64,
}

/// The waves of `messages` messages, in order; without waves there is one. A wave that nobody is left for is none.
pub fn starts(definition: &Definition, plan: &Plan, messages: i64) -> Result<Vec<Wave>, Refusal> {
    let lines = match &definition.waves {
        Some(waves) => lines(waves, plan, messages)?,
        None => vec![(plan.start_us, messages)],
    };
    let mut found = Vec::with_capacity(lines.len());
    let mut before = 0;
    for (start_us, end) in lines {
        if end > before || (found.is_empty() && messages == 0) {
            found.push(Wave { start_us, messages: end - before });
            before = end;
        }
    }
    Ok(found)
}

/// Do they divide the messages at all? A brake alone does not.
pub(crate) fn are_there(waves: &Waves) -> bool {
    !waves.size.trim().is_empty() || !waves.calendar.is_empty()
}

/// Start and end (a count from the first message) of each wave; the last one ends at `messages`.
fn lines(waves: &Waves, plan: &Plan, messages: i64) -> Result<Vec<(i64, i64)>, Refusal> {
    let mut lines = if waves.calendar.is_empty() {
        equal(waves, plan, messages)?
    } else {
        calendar(waves, plan, messages)?
    };
    if let Some(last) = lines.last_mut() {
        last.1 = messages;
    }
    Ok(lines)
}

fn equal(waves: &Waves, plan: &Plan, messages: i64) -> Result<Vec<(i64, i64)>, Refusal> {
    if waves.size.trim().is_empty() {
        return Ok(vec![(plan.start_us, messages)]);
    }
    let size = size("waves.size", &waves.size)?;
    let count = match size {
        Size::Messages(n) => messages.div_euclid(n) + i64::from(messages.rem_euclid(n) > 0),
        Size::Share(share) => WHOLE / share + i64::from(WHOLE % share > 0),
    };
    if count > WAVES_MAX {
        return Err(Refusal::new(
            "waves.size",
            format!("makes {count} waves of {messages} messages, and more than {WAVES_MAX} are too many"),
        ));
    }
    let period = period(waves)?;
    (0..count.max(1))
        .map(|k| {
            let start_us = plan.after(plan.start_us, period, k).ok_or_else(|| too_far("waves.period"))?;
            let end = match size {
                Size::Messages(n) => n.saturating_mul(k + 1).min(messages),
                Size::Share(share) => share_of(messages, share.saturating_mul(k + 1)),
            };
            Ok((start_us, end))
        })
        .collect()
}

fn calendar(waves: &Waves, plan: &Plan, messages: i64) -> Result<Vec<(i64, i64)>, Refusal> {
    let (mut start_us, mut count, mut share) = (plan.start_us, 0_i64, 0_i64);
    let mut lines = Vec::with_capacity(waves.calendar.len());
    for line in &waves.calendar {
        let step = delay("waves.calendar", &line.start)?;
        start_us = plan.after(start_us, step, 1).ok_or_else(|| too_far("waves.calendar"))?;
        match size("waves.calendar", &line.size)? {
            Size::Messages(n) => count = count.saturating_add(n),
            Size::Share(part) => share += part,
        }
        lines.push((start_us, share_of(messages, share).saturating_add(count).min(messages)));
    }
    Ok(lines)
}

fn share_of(messages: i64, share: i64) -> i64 {
    let part = i128::from(messages) * i128::from(share.min(WHOLE)) / i128::from(WHOLE);
    part as i64
}

/// Refuses waves that no audience could make right.
pub(crate) fn check(waves: &Waves) -> Result<(), Refusal> {
    let equal = !waves.size.trim().is_empty();
    if equal && !waves.calendar.is_empty() {
        return Err(Refusal::new("waves", "have both a size and a calendar: keep one of them"));
    }
    if !equal && !waves.period.trim().is_empty() {
        return Err(Refusal::new("waves.size", "is missing: say how many messages go each waves.period"));
    }
    if equal {
        if let Size::Share(share) = size("waves.size", &waves.size)?
            && WHOLE / share > WAVES_MAX
        {
            return Err(Refusal::new("waves.size", format!("makes more than {WAVES_MAX} waves")));
        }
        period(waves)?;
    }
    if waves.calendar.len() as i64 > WAVES_MAX {
        return Err(Refusal::new("waves.calendar", format!("has more than {WAVES_MAX} lines")));
    }
    let mut share = 0;
    for line in &waves.calendar {
        delay("waves.calendar", &line.start)?;
        if let Size::Share(part) = size("waves.calendar", &line.size)? {
            share += part;
        }
    }
    if share > WHOLE {
        return Err(Refusal::new(
            "waves.calendar",
            format!("has sizes of {}% together: at most 100% can be sent", shown_share(share)),
        ));
    }
    crate::brake::Limits::of(&waves.brake).map(drop)
}

fn shown_share(share: i64) -> String {
    let text = format!("{}.{:04}", share / PERCENT, share % PERCENT);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn size(field: &str, text: &str) -> Result<Size, Refusal> {
    Size::parse(text).filter(|size| !size.is_zero()).ok_or_else(|| {
        Refusal::new(
            field,
            format!("{text:?} is no size: write a number like 5000, or a percentage up to 100%"),
        )
    })
}

fn period(waves: &Waves) -> Result<Step, Refusal> {
    let whole = Size::parse(&waves.size) == Some(Size::Share(WHOLE));
    if whole && waves.period.trim().is_empty() {
        return Ok(Step::default());
    }
    let step = delay("waves.period", &waves.period)?;
    if step.is_none() && !whole {
        return Err(Refusal::new("waves.period", "is nothing: waves without a time between them are one"));
    }
    Ok(step)
}

fn delay(field: &str, text: &str) -> Result<Step, Refusal> {
    Step::parse(text).ok_or_else(|| {
        Refusal::new(field, format!("{text:?} is no duration: write a number and s, m, h or d, like 6h"))
    })
}

fn too_far(field: &str) -> Refusal {
    Refusal::new(field, "leads beyond the years that can be reckoned with")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::WaveLine;

    const HOUR_US: i64 = 3_600_000_000;

    fn with(waves: Waves) -> Definition {
        Definition { waves: Some(waves), ..Definition::new("x") }
    }

    fn equal_waves(size: &str, period: &str) -> Waves {
        Waves { size: size.into(), period: period.into(), ..Waves::default() }
    }

    fn lines_of(lines: &[(&str, &str)]) -> Waves {
        let line = |(start, size): &(&str, &str)| WaveLine { start: (*start).into(), size: (*size).into() };
        Waves { calendar: lines.iter().map(line).collect(), ..Waves::default() }
    }

    fn found(waves: Waves, messages: i64) -> Vec<(i64, i64)> {
        check(&waves).unwrap();
        let waves = starts(&with(waves), &Plan::at_once(0), messages).unwrap();
        waves.iter().map(|wave| (wave.start_us / HOUR_US, wave.messages)).collect()
    }

    #[test]
    fn equal_waves_end_at_their_share_and_the_last_takes_the_rest() {
        assert_eq!(found(equal_waves("30%", "1d"), 100), [(0, 30), (24, 30), (48, 30), (72, 10)]);
        assert_eq!(found(equal_waves("33.3333%", "1h"), 10), [(0, 3), (1, 3), (2, 3), (3, 1)]);
        // floor(7 x k x 0.25) = 1, 3, 5, 7.
        assert_eq!(found(equal_waves("25%", "6h"), 7), [(0, 1), (6, 2), (12, 2), (18, 2)]);
        assert_eq!(found(equal_waves("20", "1d"), 50), [(0, 20), (24, 20), (48, 10)]);
        assert_eq!(found(equal_waves("100%", ""), 5), [(0, 5)]);
        assert_eq!(
            found(equal_waves("10%", "1h"), 3),
            [(3, 1), (6, 1), (9, 1)],
            "nobody is left for the others"
        );
    }

    #[test]
    fn a_calendar_counts_each_start_from_the_wave_before() {
        let waves = lines_of(&[("0s", "25%"), ("6h", "50%"), ("6h", "25%")]);
        assert_eq!(found(waves, 1_001), [(0, 250), (6, 500), (12, 251)]);
        assert_eq!(found(lines_of(&[("2h", "10"), ("1h", "50%")]), 100), [(2, 10), (3, 90)]);
        assert_eq!(found(lines_of(&[("0s", "500"), ("1h", "500")]), 100), [(0, 100)]);
    }

    #[test]
    fn without_waves_there_is_one_and_a_brake_alone_makes_none() {
        let plan = Plan::at_once(7);
        let one = [Wave { start_us: 7, messages: 9 }];
        assert_eq!(starts(&Definition::new("x"), &plan, 9).unwrap(), one);
        assert_eq!(starts(&with(Waves::default()), &plan, 9).unwrap(), one);
        assert_eq!(starts(&Definition::new("x"), &plan, 0).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        let field = |waves: Waves| check(&waves).unwrap_err().field;
        assert_eq!(field(equal_waves("101%", "1d")), "waves.size");
        assert_eq!(field(equal_waves("0%", "1d")), "waves.size");
        assert_eq!(field(equal_waves("some", "1d")), "waves.size");
        assert_eq!(field(equal_waves("0.05%", "1d")), "waves.size");
        assert_eq!(field(equal_waves("25%", "")), "waves.period");
        assert_eq!(field(equal_waves("25%", "0s")), "waves.period");
        assert_eq!(field(equal_waves("", "1d")), "waves.size");
        let refusal = check(&lines_of(&[("0s", "60%"), ("1h", "50.5%")])).unwrap_err();
        assert_eq!(refusal.field, "waves.calendar");
        assert!(refusal.text.contains("110.5%"), "{}", refusal.text);
        assert_eq!(field(lines_of(&[("soon", "60%")])), "waves.calendar");
        let both = Waves { size: "25%".into(), period: "1d".into(), ..lines_of(&[("0s", "60%")]) };
        assert_eq!(field(both), "waves");
        let many = starts(&with(equal_waves("1", "1s")), &Plan::at_once(0), 1_001).unwrap_err();
        assert_eq!(many.field, "waves.size");
    }

    #[test]
    fn sizes() {
        assert_eq!(Size::parse("5000"), Some(Size::Messages(5_000)));
        assert_eq!(Size::parse(" 0.3% "), Some(Size::Share(3_000)));
        assert_eq!(Size::parse("100%"), Some(Size::Share(WHOLE)));
        for wrong in ["", "%", "-5", "1.5", "100.1%", "0.12345%", "5.%", "1e3", "5 %%"] {
            assert_eq!(Size::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Size::Share(WHOLE / 2).of(7), 3);
        assert_eq!(Size::Messages(9).of(7), 7);
    }
}
