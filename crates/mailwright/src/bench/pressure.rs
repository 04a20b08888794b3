//! Analysis with everything that can be said of a target: three segments of which one is turned round, exclusions, a
//! filtering rule, a pressure rule over a log of ten million past messages, seeds, and five waves; beside a bare
//! INSERT..SELECT of as many rows and rendering the same templates in a loop. The plans of the walk's statements are
//! printed first.

use std::time::Instant;

use audience::{Filter, NewRecipient};
use delivery::definition::{TargetItem, Waves};
use delivery::typologies::{PressureRule, Whom};
use delivery::{By, NewRule, RuleDefinition};
use serde_json::json;
use store::{Dialect, Lane, binds};

use super::analysis::{insert_select, render};
use super::instance::{Instance, SUBJECT, TEXT, failed, html};
use super::measure::{RUNS, Sides, has_postgres, peak_bytes, reset_peak, scaled};
use super::{Bench, runtime};
use crate::output::{Done, Failure, Output};

pub const SQLITE: Bench = Bench {
    name: "pressure",
    about: "1,000,000 recipients with segments, exclusions, seeds, waves and a pressure rule over 10,000,000 past messages, SQLite",
    run: |out| run(out, Dialect::Sqlite),
};
pub const POSTGRES: Bench = Bench {
    name: "pressure-postgres",
    about: "the same on PostgreSQL",
    run: |out| if has_postgres() { run(out, Dialect::Postgres) } else { super::skipped(out) },
};

const RECIPIENTS: usize = 1_000_000;
const HTML_LEN: usize = 25_000;
/// Past deliveries; each went to ten of sixteen recipients, so that a million recipients had ten million messages.
const PAST: i64 = 16;
/// Two days lie between them: seven are in the rule's window of 15 days.
const APART_US: i64 = 2 * 86_400 * 1_000_000;
/// Whoever had seven in the window is left out: some four in a hundred.
const LIMIT: i64 = 7;
/// Recipients whose past is written in one transaction.
const CHUNK: i64 = 20_000;
const SEEDS: usize = 3;

fn run(out: &mut Output, dialect: Dialect) -> Done {
    runtime()?.block_on(async {
        let recipients = scaled(RECIPIENTS);
        let instance = Instance::new(dialect).await?;
        let file = instance.write_people(recipients)?;
        instance.import(&file).await?;
        let messages = write_past(&instance).await?;
        prepare(&instance).await?;
        out.line(format_args!("  {recipients} recipients, {messages} past messages in {PAST} deliveries"))?;
        let mut sides = Sides::default();
        for n in 0..RUNS {
            let id = draft(&instance).await?;
            if n == 0 {
                print_plans(out, &instance, id).await?;
            }
            reset_peak();
            let begun = Instant::now();
            let handle = instance.deliveries.start_analysis(id, &By::system()).await.map_err(failed)?;
            let analysis = handle.wait().await.map_err(failed)?;
            sides.ours(begun.elapsed(), peak_bytes());
            if analysis.state != delivery::State::Ready || !analysis.excluded.contains_key("pressure") {
                let found = (analysis.findings, analysis.excluded);
                return Err(Failure::refused(format!("the analysis found {found:?}")));
            }
            if n == 0 {
                out.line(format_args!(
                    "  {} to deliver, left out: {:?}",
                    analysis.to_deliver, analysis.excluded
                ))?;
            }
            sides.bare(insert_select(&instance).await? + render(&instance, recipients).await?);
        }
        sides.print(out, recipients, "at most 6 times the bare time, below 300 MB")
    })
}

/// Past deliveries with their runs, parts, messages, contacts and outcomes; two in a hundred messages failed.
async fn write_past(instance: &Instance) -> Result<i64, Failure> {
    let mut deliveries = Vec::new();
    for n in 0..PAST {
        let id = instance.draft(100).await?;
        deliveries.push(id);
        let at = instance.clock.now_us() - (n + 1) * APART_US;
        let write = move |tx: &mut store::Tx<'_>| {
            let (first, last) = queue::id_range(id);
            tx.execute(
                "UPDATE delivery SET state = 'finished', confirmed_at = $2, finished_at = $2 WHERE id = $1",
                &binds![id, at],
            )?;
            tx.execute(
                "INSERT INTO run (delivery, control, epoch, priority, pool, start_at, valid_until, retries, retry_period, \
                 retry_later, test_smtp, bcc, signing, messages, started_at, ended_at) \
                 VALUES ($1, 5, 1, 2, 'default', $2, $3, 5, 0, 0, 0, 0, '', 0, $2, $2)",
                &binds![id, at, at + 5 * 86_400 * 1_000_000],
            )?;
            tx.execute(
                "INSERT INTO part (first_id, last_id, delivery, snapshot, wave, lane, due, messages, state) \
                 VALUES ($1, $2, $3, '', 0, 'tail-0', 0, 0, 2)",
                &binds![first, last, id],
            )
        };
        instance.store.write(Lane::Bulk, write).await.map_err(failed)?;
    }
    let last = instance.audience.largest_recipient_id().await.map_err(failed)?;
    let mut from = 1;
    let mut messages = 0;
    while from <= last {
        let (deliveries, to) = (deliveries.clone(), from + CHUNK - 1);
        messages += instance
            .store
            .write(Lane::Bulk, move |tx| past_of(tx, &deliveries, from, to))
            .await
            .map_err(failed)?;
        from = to + 1;
    }
    if instance.store.dialect() == Dialect::Postgres {
        instance.store.write(Lane::Bulk, |tx| tx.execute("ANALYZE", &[])).await.map_err(failed)?;
    }
    Ok(messages as i64)
}

/// The past of a stretch of recipients.
fn past_of(tx: &mut store::Tx<'_>, deliveries: &[i64], from: i64, to: i64) -> store::Result<u64> {
    let mut written = 0;
    for (n, delivery) in deliveries.iter().enumerate() {
        let (first, _) = queue::id_range(*delivery);
        let got = format!("r.id BETWEEN $1 AND $2 AND ((r.id * (48271 + {n} * 6151)) % 65521) % 16 < 10");
        let binds = binds![from, to];
        tx.execute(
            &format!(
                "INSERT INTO contact (recipient, message) SELECT r.id, {first} + r.id FROM recipient r WHERE {got} ORDER BY r.id"
            ),
            &binds,
        )?;
        let slots = match tx.dialect() {
            Dialect::Sqlite => "zeroblob(100)",
            Dialect::Postgres => "decode(repeat('00', 100), 'hex')",
        };
        tx.execute(
            &format!(
                "INSERT INTO message (id, recipient, domain, flags, address, slots) \
                 SELECT {first} + r.id, r.id, r.domain, 0, r.email, {slots} FROM recipient r WHERE {got} ORDER BY r.id"
            ),
            &binds,
        )?;
        written += tx.execute(
            &format!(
                "INSERT INTO outcome (id, state, attempts, first_try, last_try, site, reply) \
                 SELECT {first} + r.id, CASE WHEN (r.id + {n}) % 50 = 0 THEN 2 ELSE 1 END, 1, 0, 0, 'tail', '250 2.0.0 Ok' \
                 FROM recipient r WHERE {got} ORDER BY r.id"
            ),
            &binds,
        )?;
    }
    Ok(written)
}

/// Segments, seeds, rules, and some whom exclusions take.
async fn prepare(instance: &Instance) -> Result<(), Failure> {
    let (audience, now_us) = (&instance.audience, instance.clock.now_us());
    let segments = [
        ("gold", json!({ "field": "loyalty_tier", "op": "eq", "value": "gold" })),
        ("with points", json!({ "field": "points", "op": "ge", "value": 10 })),
        ("lapsed", json!({ "field": "last_order", "op": "is_empty" })),
    ];
    for (name, filter) in segments {
        let filter = Filter::parse(&filter).map_err(failed)?;
        audience.create_segment(name, &filter, now_us).await.map_err(failed)?;
    }
    let group = audience.create_seed_group("readers", None, now_us).await.map_err(failed)?;
    for n in 0..SEEDS {
        let new = NewRecipient { email: format!("seed{n}@shop.example"), ..NewRecipient::default() };
        let seed = audience.create_seed(new, now_us).await.map_err(failed)?;
        audience.add_to_seed_group(group, vec![seed.id]).await.map_err(failed)?;
    }
    let mark = |tx: &mut store::Tx<'_>| {
        tx.execute("UPDATE recipient SET denylisted = 1 WHERE id % 100 = 7", &[])?;
        tx.execute(
            "INSERT INTO quarantine (email_key, email, reason, reply, since, status) \
             SELECT email_key, email, 'unknown_user', '', 0, 'quarantined' FROM recipient WHERE id % 100 = 8",
            &[],
        )
    };
    instance.store.write(Lane::Bulk, mark).await.map_err(failed)?;
    let suppressed = (0..1_000).map(|n| format!("trap{n}@nowhere.example")).collect();
    audience.suppress(suppressed, now_us).await.map_err(failed)?;
    let filter = Some(json!({ "field": "points", "op": "eq", "value": 13 }));
    let filtering = RuleDefinition::Filtering(Whom { filter, ..Whom::default() });
    let pressure = RuleDefinition::Pressure(PressureRule { limit: LIMIT, ..PressureRule::default() });
    for (name, definition) in [("unlucky", filtering), ("fatigue", pressure)] {
        instance.deliveries.create_rule(rule(name, definition)).await.map_err(failed)?;
    }
    Ok(())
}

fn rule(name: &str, definition: RuleDefinition) -> NewRule {
    NewRule {
        name: name.into(),
        description: String::new(),
        typologies: vec!["default".into()],
        order: 50,
        active: true,
        scope: String::new(),
        from_us: None,
        until_us: None,
        definition,
    }
}

async fn draft(instance: &Instance) -> Result<i64, Failure> {
    let mut definition = delivery::Definition::new("bench");
    definition.subject = SUBJECT.into();
    definition.sender.address = "news@shop.example".into();
    definition.target.include = vec![
        TargetItem::segment("gold"),
        TargetItem::segment("with points"),
        TargetItem { not: Some(true), ..TargetItem::segment("lapsed") },
    ];
    definition.target.seeds = vec!["readers".into()];
    definition.waves = Some(Waves { size: "20%".into(), period: "1h".into(), ..Waves::default() });
    let made = instance.deliveries.create(definition, Some(html(HTML_LEN)), Some(TEXT.into())).await;
    Ok(made.map_err(failed)?.id)
}

async fn print_plans(out: &mut Output, instance: &Instance, id: i64) -> Done {
    for plan in instance.deliveries.target_plans(id).await.map_err(failed)? {
        out.line(format_args!("  plan of {}:", plan.statement))?;
        for line in plan.lines {
            out.line(format_args!("    {line}"))?;
        }
    }
    Ok(())
}
