//! Analysis of a million personalised recipients against a bare INSERT..SELECT of as many rows and rendering the same
//! templates in a loop on as many threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::Environment;
use store::{Dialect, Lane};

use super::instance::{Instance, SUBJECT, TEXT, failed, html};
use super::measure::{RUNS, Sides, has_postgres, peak_bytes, reset_peak, scaled};
use super::{Bench, runtime};
use crate::output::{Done, Failure, Output};
use crate::server::configure::cores;

pub const SQLITE: Bench = Bench {
    name: "analysis",
    about: "1,000,000 personalised recipients on SQLite, beside INSERT..SELECT and rendering them in a loop",
    run: |out| run(out, Dialect::Sqlite),
};
pub const POSTGRES: Bench = Bench {
    name: "analysis-postgres",
    about: "the same on PostgreSQL",
    run: |out| if has_postgres() { run(out, Dialect::Postgres) } else { super::skipped(out) },
};

const RECIPIENTS: usize = 1_000_000;
const HTML_LEN: usize = 25_000;
/// Different recipients that the bare loop renders again and again: reading them is not its work.
const SAMPLE: usize = 1_000;

fn run(out: &mut Output, dialect: Dialect) -> Done {
    runtime()?.block_on(async {
        let recipients = scaled(RECIPIENTS);
        let instance = Instance::new(dialect).await?;
        let file = instance.write_people(recipients)?;
        instance.import(&file).await?;
        let mut sides = Sides::default();
        for _ in 0..RUNS {
            let id = instance.draft(HTML_LEN).await?;
            reset_peak();
            let begun = Instant::now();
            let handle =
                instance.deliveries.start_analysis(id, &delivery::By::system()).await.map_err(failed)?;
            let analysis = handle.wait().await.map_err(failed)?;
            sides.ours(begun.elapsed(), peak_bytes());
            if analysis.state != delivery::State::Ready {
                return Err(Failure::refused(format!("the analysis found {:?}", analysis.findings)));
            }
            sides.bare(insert_select(&instance).await? + render(&instance, recipients).await?);
        }
        sides.print(out, recipients, "at most 4 times the bare time, below 300 MB")
    })
}

/// As many rows of the messages' shape by one statement, and away again outside the measured time.
pub async fn insert_select(instance: &Instance) -> Result<Duration, Failure> {
    let table = "CREATE TABLE IF NOT EXISTS bare (id BIGINT PRIMARY KEY, recipient BIGINT NOT NULL, domain TEXT NOT NULL, \
                 flags BIGINT NOT NULL, address TEXT NOT NULL, slots TEXT NOT NULL)";
    instance.store.write(Lane::Bulk, move |tx| tx.execute(table, &[])).await.map_err(failed)?;
    let slots = "x".repeat(200);
    let sql = format!("INSERT INTO bare SELECT id, id, domain, 0, email, '{slots}' FROM recipient");
    let begun = Instant::now();
    instance.store.write(Lane::Bulk, move |tx| tx.execute(&sql, &[])).await.map_err(failed)?;
    let took = begun.elapsed();
    instance.store.write(Lane::Bulk, move |tx| tx.execute("DROP TABLE bare", &[])).await.map_err(failed)?;
    Ok(took)
}

pub async fn render(instance: &Instance, recipients: usize) -> Result<Duration, Failure> {
    let sample = instance
        .audience
        .preview(&instance.audience.all_recipients(), SAMPLE.min(recipients))
        .await
        .map_err(failed)?;
    let contexts: Arc<Vec<minijinja::Value>> = Arc::new(sample.iter().map(context).collect());
    let threads = cores();
    let begun = Instant::now();
    let each = recipients.div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| render_loop(&contexts, each))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| failed("a thread panicked"))?)
    })?;
    Ok(begun.elapsed())
}

fn context(recipient: &audience::Recipient) -> minijinja::Value {
    let own = [
        ("first_name", recipient.first_name.as_str()),
        ("last_name", recipient.last_name.as_str()),
        ("city", recipient.city.as_str()),
        ("unsubscribe_url", "https://shop.example/u/0"),
    ];
    let attributes = recipient.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.into_iter().chain(attributes).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn render_loop(contexts: &[minijinja::Value], count: usize) -> Result<(), Failure> {
    let html = html(HTML_LEN);
    let mut environment = Environment::new();
    environment.add_template("a.html", &html).map_err(failed)?;
    environment.add_template("b.txt", TEXT).map_err(failed)?;
    environment.add_template("c.txt", SUBJECT).map_err(failed)?;
    let mut length = 0;
    for n in 0..count {
        let context = &contexts[n % contexts.len()];
        for name in ["a.html", "b.txt", "c.txt"] {
            let template = environment.get_template(name).map_err(failed)?;
            length += template.render(context.clone()).map_err(failed)?.len();
        }
    }
    std::hint::black_box(length);
    Ok(())
}
