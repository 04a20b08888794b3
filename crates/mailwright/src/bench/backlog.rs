//! A large backlog: millions of messages pending over many small domains, each with its own MX, a tenth of them as retries
//! that are due at once. From opening the database to the first message at the receiver, memory, how long outcomes wait
//! for their commit, and how long a stop takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::{DnsError, Pending, RecordKind, Records, Resolver, StaticResolver};
use queue::{NewMessage, NewPart, RunSpec, message_id, plan};
use store::{Dialect, Lane, binds};
use testkit::Sink;

use super::Bench;
use super::cpu::Cpu;
use super::instance::{Instance, failed};
use super::measure::{has_postgres, median, peak_bytes, reset_peak, scaled};
use super::sender::{HTML_LEN_10K, Sender, Setup, runtime, sink, sink_runtime, start};
use crate::output::{Done, Failure, Output};

pub const SMALL: Bench = Bench {
    name: "backlog",
    about: "1,000,000 messages pending over 20,000 domains, 100,000 of them as retries due at once, on SQLite",
    run: |out| run(out, Dialect::Sqlite, 1_000_000),
};
pub const LARGE: Bench = Bench {
    name: "backlog-large",
    about: "10,000,000 messages pending over 200,000 domains, 1,000,000 of them as retries due at once, on SQLite (some minutes, 6 GB of disk)",
    run: |out| run(out, Dialect::Sqlite, 10_000_000),
};
pub const SMALL_POSTGRES: Bench = Bench {
    name: "backlog-postgres",
    about: "1,000,000 messages pending over 20,000 domains, 100,000 of them as retries due at once, on PostgreSQL",
    run: |out| postgres(out, 1_000_000),
};
pub const LARGE_POSTGRES: Bench = Bench {
    name: "backlog-large-postgres",
    about: "10,000,000 messages pending over 200,000 domains, 1,000,000 of them as retries due at once, on PostgreSQL (some minutes, 8 GB of disk)",
    run: |out| postgres(out, 10_000_000),
};

/// Names a folder in which filled databases are kept and found again by the next run, because filling takes longer than
/// measuring. On PostgreSQL `MAILWRIGHT_TEST_POSTGRES` must name the server, or it is gone with this process.
const KEEP: &str = "MAILWRIGHT_BENCH_KEEP";

/// Messages to one domain.
const PER_DOMAIN: i64 = 50;
/// As the analysis of so many makes them.
const PART_MESSAGES: i64 = 256;
/// One message in so many waits as a retry.
const RETRY_EACH: i64 = 10;
/// Messages of one transaction.
const CHUNK: i64 = 20_000;
/// Different recipients whose slots the messages take in turn.
const SAMPLE: usize = 500;
const RETRY_COLUMNS: [&str; 10] =
    ["id", "delivery", "wave", "lane", "due", "attempts", "first_try", "last_try", "site", "unknown"];
const TALLY_COLUMNS: [&str; 10] =
    ["delivery", "wave", "site", "node", "planned", "sent", "failed", "cancelled", "deferred", "unknown"];
/// Starts of the same backlog.
const STARTS: usize = 5;
/// How long each start sends before it is ended.
const SENDING: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(60);

fn postgres(out: &mut Output, pending: usize) -> Done {
    if has_postgres() { run(out, Dialect::Postgres, pending) } else { super::skipped(out) }
}

fn run(out: &mut Output, dialect: Dialect, pending: usize) -> Done {
    let pending = scaled(pending) as i64;
    let sinks = sink_runtime()?;
    let sink = sink(&sinks)?;
    let runtime = runtime()?;
    let (instance, id) = runtime.block_on(filled(dialect, pending, &sink))?;
    out.line(format_args!("  {pending} messages over {} domains", pending / PER_DOMAIN))?;
    let mut firsts = Vec::new();
    let mut waits = queue::Latency::default();
    let (mut peak, mut rates) = (0, Vec::new());
    let mut instance = Some(instance);
    for n in 0..STARTS {
        let Some(old) = instance.take() else { break };
        let last = n + 1 == STARTS;
        let (begun, used) = runtime.block_on(begin(old, &sink))?;
        firsts.push(used.first.as_secs_f64());
        peak = peak.max(used.peak_bytes);
        rates.push(used.rate);
        waits = add(&waits, &used.latency);
        if last {
            let (report, took, after) = runtime.block_on(stop(&begun, id, &sink))?;
            out.line(format_args!(
                "  stop: {:.0} ms until acknowledged ({} sent, {} in flight, {} cancelled); {after} messages arrived later, of those in flight",
                took.as_secs_f64() * 1e3,
                report.sent,
                report.in_flight,
                report.cancelled
            ))?;
            out.line(format_args!("  goal: within 1,000 ms, and no more later than were in flight"))?;
        }
        runtime.block_on(async { begun.engine.shutdown().await.map_err(failed) })?;
        instance = Some(begun.instance);
    }
    if let Some(instance) = instance {
        runtime.block_on(leave(instance, id))?;
    }
    out.line(format_args!(
        "  start to the first message at the receiver: {:.2} s; {:.0} messages/s; peak {} MB; medians of {STARTS}",
        median(&mut firsts),
        median(&mut rates),
        peak >> 20
    ))?;
    out.line(format_args!("  goal: below 5 s, below 500 MB"))?;
    let (half, most) = (at_most(&waits, 500), at_most(&waits, 990));
    out.line(format_args!(
        "  outcomes waited for their commit: half of them at most {half} ms, 99 of 100 at most {most} ms ({} outcomes)",
        waits.count
    ))?;
    out.line(format_args!("  goal: 99 of 100 within 50 ms"))?;
    Ok(())
}

fn at_most(latency: &queue::Latency, per_mille: u64) -> String {
    latency.at_most_ms(per_mille).map_or_else(|| "more than 5,000".to_owned(), |ms| ms.to_string())
}

fn add(a: &queue::Latency, b: &queue::Latency) -> queue::Latency {
    let mut sum = a.clone();
    sum.buckets.iter_mut().zip(b.buckets).for_each(|(into, more)| *into += more);
    (sum.count, sum.sum_us) = (a.count + b.count, a.sum_us + b.sum_us);
    sum
}

/// An instance with the backlog: kept from an earlier run, or filled now.
pub async fn filled(dialect: Dialect, pending: i64, sink: &Sink) -> Result<(Instance, i64), Failure> {
    let Some(keep) = std::env::var_os(KEEP) else {
        return fill(Instance::new(dialect).await?, dialect, pending, sink).await;
    };
    let dir = Path::new(&keep).join(format!("backlog-{pending}-{dialect:?}").to_lowercase());
    let Some(instance) = Instance::kept(&dir).await? else {
        return fill(Instance::keeping(dialect, &dir).await?, dialect, pending, sink).await;
    };
    let last = "SELECT max(delivery) FROM run";
    let last = instance.store.read(move |tx| tx.query_one(last, &[], |row| row.int(0))).await;
    let id = last.map_err(|_| Failure::refused(format!("{} holds no backlog", dir.display())))?;
    // The run that left it may have been cut off behind its stop.
    put_control(&instance, id, queue::Control::Running).await?;
    Ok((instance, id))
}

/// A backlog that is kept runs again, as if nobody had stopped it.
pub async fn leave(instance: Instance, id: i64) -> Done {
    put_control(&instance, id, queue::Control::Running).await?;
    instance.close().await?;
    Ok(())
}

/// Puts a run into a state that nobody asked it for.
pub async fn put_control(instance: &Instance, id: i64, control: queue::Control) -> Done {
    let sql = "UPDATE run SET control = $2, epoch = epoch + 1, ended_at = NULL WHERE delivery = $1";
    let put = move |tx: &mut store::Tx<'_>| tx.execute(sql, &binds![id, control as i64]);
    instance.store.write(Lane::Urgent, put).await.map_err(failed)?;
    Ok(())
}

/// Puts the backlog into an empty instance, as a confirmed run.
async fn fill(
    instance: Instance,
    dialect: Dialect,
    pending: i64,
    sink: &Sink,
) -> Result<(Instance, i64), Failure> {
    let setup = Setup {
        dialect,
        recipients: SAMPLE,
        domains: 10,
        html_len: HTML_LEN_10K,
        connections: 1,
        signed: true,
        in_memory: false,
    };
    // Its own delivery is analysed and confirmed by the rooms; the backlog takes slots and run from it.
    let sender = Sender::over(instance, &setup, sink.address()).await?;
    sender.engine.shutdown().await.map_err(failed)?;
    let (model, _) = sender.analysed().await?;
    let instance = sender.instance;
    instance.deliveries.confirm(model, None, &delivery::By::system()).await.map_err(failed)?;
    let id = instance.draft(100).await?;
    stand(&instance, model, id, pending).await?;
    let now = instance.clock.now_us();
    let spec = instance.queue.run(model).await.map_err(failed)?.spec;
    instance.queue.stop(model, now).await.map_err(failed)?;
    instance.queue.stopped(model, now).await.map_err(failed)?;
    let spec = RunSpec { delivery: id, valid_until: now + 5 * 86_400 * 1_000_000, ..spec };
    Backlog::new(&instance, model, spec, pending).await?.write(&instance).await?;
    instance.filled()?;
    Ok((instance, id))
}

/// For pages the draft stands where its model does: confirmed and on its way.
async fn stand(instance: &Instance, model: i64, id: i64, pending: i64) -> Done {
    let sql = "UPDATE delivery SET state = m.state, snapshot = m.snapshot, analysed_revision = delivery.revision, target = $3, \
               to_deliver = $3, analysed_at = m.analysed_at, confirmed_at = m.confirmed_at \
               FROM delivery m WHERE m.id = $1 AND delivery.id = $2";
    let put = move |tx: &mut store::Tx<'_>| tx.execute(sql, &binds![model, id, pending]);
    instance.store.write(Lane::Urgent, put).await.map_err(failed)?;
    Ok(())
}

struct Backlog {
    snapshot: String,
    slots: Vec<(i64, Vec<u8>)>,
    spec: RunSpec,
    pending: i64,
    /// Lane and number of each domain, in number order.
    domains: Vec<(String, i64)>,
}

impl Backlog {
    async fn new(instance: &Instance, model: i64, spec: RunSpec, pending: i64) -> Result<Self, Failure> {
        let (first, last) = queue::id_range(model);
        let read = move |tx: &mut store::Tx<'_>| {
            let snapshot = plan::snapshot_of(tx, model)?.unwrap_or_default();
            let slots = tx.query(
                "SELECT flags, slots FROM message WHERE id BETWEEN $1 AND $2",
                &binds![first, last],
                |row| Ok::<_, queue::Error>((row.int(0)?, row.blob(1)?)),
            )?;
            Ok::<_, queue::Error>((snapshot, slots))
        };
        let (snapshot, slots) = instance.store.read(read).await.map_err(failed)?;
        let providers = routes::Providers::built_in();
        let mut domains: Vec<(String, i64)> = (0..(pending + PER_DOMAIN - 1) / PER_DOMAIN)
            .map(|n| (providers.lane_of(&format!("d{n}.example")), n))
            .collect();
        domains.sort();
        Ok(Self { snapshot, slots, spec, pending, domains })
    }

    fn message(&self, n: i64) -> NewMessage {
        let (_, domain) = &self.domains[(n / PER_DOMAIN) as usize];
        let (flags, slots) = &self.slots[n as usize % self.slots.len()];
        NewMessage {
            id: message_id(self.spec.delivery, n),
            recipient: n + 1,
            domain: format!("d{domain}.example"),
            flags: *flags,
            address: format!("r{n}@d{domain}.example"),
            slots: slots.clone(),
        }
    }

    /// Parts never cross lanes.
    fn parts(&self) -> Vec<NewPart> {
        let mut parts: Vec<NewPart> = Vec::new();
        for (at, (lane, _)) in self.domains.iter().enumerate() {
            let from = at as i64 * PER_DOMAIN;
            let to = (from + PER_DOMAIN).min(self.pending);
            let last_id = message_id(self.spec.delivery, to - 1);
            match parts.last_mut() {
                Some(part) if part.lane == *lane && part.messages + (to - from) <= PART_MESSAGES => {
                    part.last_id = last_id;
                    part.messages += to - from;
                }
                _ => parts.push(NewPart {
                    first_id: message_id(self.spec.delivery, from),
                    last_id,
                    snapshot: self.snapshot.clone(),
                    wave: 0,
                    lane: lane.clone(),
                    due_us: 0,
                    messages: to - from,
                }),
            }
        }
        parts
    }

    fn is_retry(n: i64) -> bool {
        n % RETRY_EACH == 0
    }

    fn lane(&self, n: i64) -> &str {
        &self.domains[(n / PER_DOMAIN) as usize].0
    }

    /// A message that was deferred once, and is due.
    fn retry(&self, n: i64, now: i64) -> Vec<store::Value> {
        let (id, delivery, lane) = (message_id(self.spec.delivery, n), self.spec.delivery, self.lane(n));
        binds![id, delivery, 0, lane, now, 1, now, now, lane, 0]
    }

    /// As if the retries had been tried: the tally must agree with the rows.
    fn tally(&self) -> Vec<Vec<store::Value>> {
        let mut sites: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for n in 0..self.pending {
            let retry = Self::is_retry(n);
            let (planned, deferred) = sites.entry(if retry { self.lane(n) } else { "other" }).or_default();
            *planned += 1;
            *deferred += i64::from(retry);
        }
        let row = |(site, (planned, deferred)): (&str, (i64, i64))| {
            binds![self.spec.delivery, 0, site, 0, planned, 0, 0, 0, deferred, 0]
        };
        sites.into_iter().map(row).collect()
    }

    async fn write(self, instance: &Instance) -> Done {
        let this = Arc::new(self);
        let mut from = 0;
        while from < this.pending {
            let (some, to) = (Arc::clone(&this), (from + CHUNK).min(this.pending));
            let write = move |tx: &mut store::Tx<'_>| {
                plan::insert_messages(tx, (from..to).map(|n| some.message(n)))?;
                Ok::<_, queue::Error>(())
            };
            instance.store.write(Lane::Bulk, write).await.map_err(failed)?;
            from = to;
        }
        let (now, some) = (instance.clock.now_us(), Arc::clone(&this));
        let write = move |tx: &mut store::Tx<'_>| {
            plan::insert_parts(tx, some.spec.delivery, some.parts())?;
            queue::runs::start(tx, &some.spec, now)
        };
        instance.store.write(Lane::Bulk, write).await.map_err(failed)?;
        let mut from = 0;
        while from < this.pending {
            let (some, to) = (Arc::clone(&this), (from + CHUNK * RETRY_EACH).min(this.pending));
            let retries = (from..to).step_by(RETRY_EACH as usize);
            let write = move |tx: &mut store::Tx<'_>| {
                tx.copy_in("retry", &RETRY_COLUMNS, retries.map(|n| some.retry(n, now)))?;
                Ok::<_, queue::Error>(())
            };
            instance.store.write(Lane::Bulk, write).await.map_err(failed)?;
            from = to;
        }
        let (first, last) = queue::id_range(this.spec.delivery);
        let retries = move |tx: &mut store::Tx<'_>| {
            // What was tried had been claimed, so it has its stamp.
            tx.execute(
                "UPDATE part SET stamp = $3, signing = $4 WHERE first_id BETWEEN $1 AND $2",
                &binds![first, last, now, &this.spec.signing],
            )?;
            tx.execute("DELETE FROM tally WHERE delivery = $1", &binds![this.spec.delivery])?;
            tx.copy_in("tally", &TALLY_COLUMNS, this.tally().into_iter())?;
            // What an autovacuum would find out a minute later.
            if tx.dialect() == Dialect::Postgres {
                tx.batch("ANALYZE message; ANALYZE part; ANALYZE retry")?;
            }
            Ok::<_, queue::Error>(())
        };
        instance.store.write(Lane::Urgent, retries).await.map_err(failed)?;
        Ok(())
    }
}

/// A started engine over the backlog.
struct Begun {
    instance: Instance,
    engine: mta::Engine,
}

struct Used {
    first: Duration,
    peak_bytes: u64,
    latency: queue::Latency,
    rate: f64,
}

/// Closes the database, opens it again as a new process would, and sends for a while.
async fn begin(old: Instance, sink: &Sink) -> Result<(Begun, Used), Failure> {
    let closed = old.close().await?;
    let arrived = sink.messages();
    reset_peak();
    let begun = Instant::now();
    let instance = closed.open().await?;
    instance.queue.recover(instance.clock.now_us()).await.map_err(failed)?;
    let mut config = mta::Config::direct("bench.example");
    config.port = sink.address().port();
    let engine = start(&instance, config, Arc::new(Names))?;
    while sink.messages() == arrived {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::refused("nothing arrived at the receiver"));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let first = begun.elapsed();
    let (from, since, cpu) = (sink.messages(), Instant::now(), Cpu::now());
    tokio::time::sleep(SENDING).await;
    let rate = (sink.messages() - from) as f64 / since.elapsed().as_secs_f64();
    tracing::debug!(cpu = ?Cpu::now().since(&cpu), connections = engine.connections(), "sending from a backlog");
    let latency = instance.queue.counters().latency;
    Ok((Begun { instance, engine }, Used { first, peak_bytes: peak_bytes(), latency, rate }))
}

/// Stops at full rate; answers what arrived after the acknowledgement.
async fn stop(begun: &Begun, id: i64, sink: &Sink) -> Result<(mta::StopReport, Duration, u64), Failure> {
    let asked = Instant::now();
    let report = begun.engine.stop(id).await.map_err(failed)?;
    let (took, then) = (asked.elapsed(), sink.messages());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = sink.messages() - then;
    if after > report.in_flight.max(0) as u64 {
        return Err(Failure::refused(format!("{after} messages arrived after the stop")));
    }
    Ok((report, took, after))
}

/// Every `dN.example` has a mail exchanger of its own, on this machine. Nothing is kept: 200,000 names would weigh more than
/// the sender.
struct Names;

impl Resolver for Names {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
        let one = StaticResolver::new();
        match name.strip_prefix("mx.") {
            Some(_) => one.a(name, &["127.0.0.1"]),
            None => one.mx(name, &[(10, &format!("mx.{name}"))]),
        }
        Box::pin(async move { one.lookup(name, kind).await })
    }
}
