//! What a test may say, before anybody is analysed.

use super::{LETTERS, VARIANTS_MAX, after_us, sample};
use crate::checks::SHORT_TEMPLATE_LEN_MAX;
use crate::definition::{AbVariant, Definition};
use crate::folder::Refusal;
use crate::life::SOURCE_LEN_MAX;
use crate::parameters::SECOND_US;
use crate::waves::{Size, are_there};

/// Longest time from the start to the choice: as long as events are looked at.
pub const AFTER_DAYS_MAX: i64 = 30;

/// Refuses a test that no audience could make right.
pub(crate) fn check(definition: &Definition) -> Result<(), Refusal> {
    let Some(test) = &definition.ab else { return Ok(()) };
    if sample(test)? == Size::Share(1_000_000) {
        return Err(Refusal::new("ab.sample", "is everybody: nobody is left for the winner"));
    }
    if after_us(test)? > AFTER_DAYS_MAX * 86_400 * SECOND_US {
        return Err(Refusal::new("ab.after", format!("is longer than {AFTER_DAYS_MAX}d")));
    }
    let needs = |tracked: bool, what: &str, key: &str| match tracked {
        true => Ok(()),
        false => {
            Err(Refusal::new("ab.winner", format!("is {what}, which are not counted: set {key} = true")))
        }
    };
    match test.winner.as_str() {
        "opens" => needs(definition.tracking.opens, "opens", "tracking.opens")?,
        "clicks" => needs(definition.tracking.clicks, "clicks", "tracking.clicks")?,
        "manual" => {}
        _ => return Err(Refusal::new("ab.winner", "is none of opens, clicks, manual")),
    }
    variants(&test.variants)?;
    beside(definition)
}

fn variants(variants: &[AbVariant]) -> Result<(), Refusal> {
    const FIELD: &str = "ab.variants";
    if variants.is_empty() || variants.len() > VARIANTS_MAX {
        let text = format!(
            "are {}: a test has one to {VARIANTS_MAX} beside the delivery's own content",
            variants.len()
        );
        return Err(Refusal::new(FIELD, text));
    }
    for (index, variant) in variants.iter().enumerate() {
        let letter = LETTERS[index + 1];
        if is_blank(variant) {
            let text = format!(
                "has nothing of its own in variant {letter}: give it a subject, a sender, html or text"
            );
            return Err(Refusal::new(FIELD, text));
        }
        if variants[..index].contains(variant) {
            return Err(Refusal::new(FIELD, format!("has variant {letter} twice")));
        }
        let texts = [
            (&variant.subject, SHORT_TEMPLATE_LEN_MAX),
            (&variant.sender_name, SHORT_TEMPLATE_LEN_MAX),
            (&variant.sender_address, SHORT_TEMPLATE_LEN_MAX),
            (&variant.html, SOURCE_LEN_MAX),
            (&variant.text, SOURCE_LEN_MAX),
        ];
        if let Some((_, max)) = texts.into_iter().find(|(text, max)| text.len() > *max) {
            return Err(Refusal::new(
                FIELD,
                format!("has a text longer than {max} bytes in variant {letter}"),
            ));
        }
    }
    Ok(())
}

fn is_blank(variant: &AbVariant) -> bool {
    let texts =
        [&variant.subject, &variant.sender_name, &variant.sender_address, &variant.html, &variant.text];
    texts.into_iter().all(|text| text.trim().is_empty())
}

/// What a test cannot stand beside: its samples go together, and its rest at one moment that nobody knows before.
fn beside(definition: &Definition) -> Result<(), Refusal> {
    let schedule = &definition.schedule;
    let others = [
        (definition.waves.as_ref().is_some_and(are_there), "waves"),
        (schedule.recipient_time_zone, "schedule.recipient_time_zone"),
        (!schedule.quiet_hours.trim().is_empty(), "schedule.quiet_hours"),
    ];
    match others.into_iter().find(|(there, _)| *there) {
        Some((_, key)) => Err(Refusal::new(
            "ab",
            format!("cannot stand beside {key}: the rest goes out at one moment, after the winner is chosen"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{AbTest, Waves};

    fn refused(change: impl FnOnce(&mut Definition, &mut AbTest)) -> String {
        let mut definition = Definition::new("x");
        let variant = AbVariant { subject: "b".into(), ..AbVariant::default() };
        let mut test = AbTest { variants: vec![variant], ..AbTest::default() };
        assert!(check(&Definition { ab: Some(test.clone()), ..definition.clone() }).is_ok());
        change(&mut definition, &mut test);
        definition.ab = Some(test);
        check(&definition).unwrap_err().to_string()
    }

    #[test]
    fn what_no_audience_could_make_right_is_refused() {
        let of = |change: fn(&mut AbTest)| refused(|_, test| change(test));
        assert!(of(|test| test.sample = "100%".into()).starts_with("ab.sample: is everybody"));
        assert!(of(|test| test.sample = "0".into()).starts_with("ab.sample"));
        assert!(of(|test| test.after = "0s".into()).starts_with("ab.after"));
        assert!(of(|test| test.after = "31d".into()).starts_with("ab.after"));
        assert!(of(|test| test.winner = "best".into()).starts_with("ab.winner"));
        assert!(of(|test| test.variants.clear()).contains("one to 3"));
        assert!(of(|test| test.variants.push(AbVariant::default())).contains("variant C"));
        assert!(of(|test| test.variants.push(test.variants[0].clone())).contains("twice"));
    }

    #[test]
    fn what_it_cannot_stand_beside_is_named() {
        assert!(refused(|d, _| d.tracking.opens = false).contains("tracking.opens"));
        assert!(
            refused(|d, _| d.schedule.quiet_hours = "21:00-08:00".into()).contains("schedule.quiet_hours")
        );
        let waves = |d: &mut Definition| {
            d.waves = Some(Waves { size: "25%".into(), period: "1d".into(), ..Waves::default() });
        };
        assert!(refused(|d, _| waves(d)).contains("beside waves"));
    }
}
