//! An instance that sends to one receiver on this machine, for the measurements of sending.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::Dialect;
use testkit::Sink;
use testkit::people::{People, Person, write_people};

use super::bare::SignatureProbe;
use super::cpu::Cpu;
use super::instance::{Instance, failed};
use super::measure::{peak_bytes, reset_peak};
use crate::output::{Done, Failure};
use crate::server::composer::Composer;

/// What is sent, and how.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub dialect: Dialect,
    pub recipients: usize,
    /// Over so many domains, evenly.
    pub domains: usize,
    /// Static HTML; the message is some 3,000 octets longer.
    pub html_len: usize,
    pub connections: u32,
    pub signed: bool,
    /// The database lies in memory: a flush to disk costs nothing there.
    pub in_memory: bool,
}

/// Static HTML that makes a message of about 10 KB with its text part, headers and encoding.
pub const HTML_LEN_10K: usize = 7_900;
/// The same for 30 KB.
pub const HTML_LEN_30K: usize = 27_000;
/// A folder in memory, where Linux has one.
const MEMORY: &str = "/dev/shm";

/// The instance and its engine.
pub struct Sender {
    pub instance: Instance,
    pub engine: mta::Engine,
    html_len: usize,
    signed: bool,
}

/// One delivery, sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub took: Duration,
    pub cpu: Cpu,
    pub peak_bytes: u64,
    pub messages: usize,
    /// CPU seconds of a signature meanwhile; 0 where nothing was signed.
    pub signature: f64,
}

/// The runtime of a receiver: one thread, whose CPU time is told apart by its name.
pub fn sink_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("sink").enable_all().build()
}

/// A cheap receiver.
pub fn sink(runtime: &tokio::runtime::Runtime) -> std::io::Result<Sink> {
    runtime.block_on(Sink::start(SocketAddr::from(([127, 0, 0, 1], 0))))
}

/// Sockets get as many workers as the server gives them.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = crate::server::configure::cores();
    let workers = (cores / 2).max(1);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name("io").on_thread_park(move || mta::gather(cores));
    builder.enable_all().build()
}

impl Sender {
    pub async fn new(setup: &Setup, sink: SocketAddr) -> Result<Sender, Failure> {
        let instance = match setup.in_memory {
            true => Instance::new_in(setup.dialect, MEMORY).await?,
            false => Instance::new(setup.dialect).await?,
        };
        Self::over(instance, setup, sink).await
    }

    /// The same over an empty instance.
    pub async fn over(instance: Instance, setup: &Setup, sink: SocketAddr) -> Result<Sender, Failure> {
        let file = people_file(&instance, setup)?;
        instance.import(&file).await?;
        if setup.signed {
            instance.routes.add_domain("shop.example", instance.clock.now_us()).await.map_err(failed)?;
            sign_with_rsa_alone(&instance).await?;
        }
        let engine = engine(&instance, sink, setup.connections)?;
        Ok(Sender { instance, engine, html_len: setup.html_len, signed: setup.signed })
    }

    /// Analyses a delivery to everybody; answers its number and its messages.
    pub async fn analysed(&self) -> Result<(i64, i64), Failure> {
        let id = self.instance.draft(self.html_len).await?;
        let begun = self.instance.deliveries.start_analysis(id, &delivery::By::system()).await;
        let analysis = begun.map_err(failed)?.wait().await.map_err(failed)?;
        if analysis.state != delivery::State::Ready {
            return Err(Failure::refused(format!("the analysis found {:?}", analysis.findings)));
        }
        Ok((id, analysis.to_deliver))
    }

    /// Analyses and sends a delivery; the time counts from Confirm to the last outcome on disk.
    pub async fn send(&self) -> Result<Sent, Failure> {
        let (id, messages) = self.analysed().await?;
        reset_peak();
        let probe = self.signed.then(SignatureProbe::start).transpose()?;
        let (begun, cpu) = (Instant::now(), Cpu::now());
        self.instance.deliveries.confirm(id, None, &delivery::By::system()).await.map_err(failed)?;
        self.until_sent(id, messages).await?;
        let took = begun.elapsed();
        let cpu = Cpu::now().since(&cpu);
        let signature = probe.map_or(Ok(0.0), SignatureProbe::end)?;
        Ok(Sent { took, cpu, peak_bytes: peak_bytes(), messages: messages as usize, signature })
    }

    async fn until_sent(&self, id: i64, messages: i64) -> Result<(), Failure> {
        loop {
            let figures =
                self.instance.queue.figures(id, self.instance.clock.now_us()).await.map_err(failed)?;
            if figures.sent == messages {
                return Ok(());
            }
            if figures.failed + figures.cancelled > 0 {
                return Err(Failure::refused("the receiver refused messages"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn close(self) -> Done {
        self.engine.shutdown().await.map_err(failed)?;
        self.instance.store.close().await;
        Ok(())
    }
}

/// Invented people as CSV, evenly over the domains.
fn people_file(instance: &Instance, setup: &Setup) -> Result<PathBuf, Failure> {
    let path = instance.dir.path().join("people.csv");
    let people = People::new(1).take(setup.recipients).enumerate().map(|(n, person)| Person {
        email: format!("r{n}@d{}.example", n % setup.domains),
        email_format: "html",
        ..person
    });
    write_people(std::io::BufWriter::new(std::fs::File::create(&path)?), people)?;
    Ok(path)
}

/// Like the bare side: with Ed25519 beside it a message costs some 3 % more.
async fn sign_with_rsa_alone(instance: &Instance) -> Result<(), Failure> {
    let sql = "DELETE FROM dkim_key WHERE algorithm <> 'rsa'";
    instance.store.write(store::Lane::Urgent, move |tx| tx.execute(sql, &[])).await.map_err(failed)?;
    instance.routes.refresh();
    Ok(())
}

fn engine(instance: &Instance, sink: SocketAddr, connections: u32) -> Result<mta::Engine, Failure> {
    let mut config = mta::Config::direct("bench.example");
    config.relay = Some(mta::Relay {
        host: sink.ip().to_string(),
        port: sink.port(),
        tls: mta::RelayTls::None,
        login: None,
        connections,
        messages_per_connection: 1_000_000,
    });
    // Nobody is asked: the relay has an address.
    start(instance, config, Arc::new(net::StaticResolver::new()))
}

/// Starts an engine over this machine's network.
pub fn start(
    instance: &Instance,
    config: mta::Config,
    resolver: Arc<dyn net::Resolver>,
) -> Result<mta::Engine, Failure> {
    let world = mta::Internet {
        resolver,
        clock: Arc::clone(&instance.clock),
        tls: net::Tls::new(&[]).map_err(failed)?,
        guard: net::Guard::new(vec!["127.0.0.0/8".parse().map_err(failed)?]),
        policies: None,
    };
    let composer =
        Composer::new(instance.queue.clone(), instance.routes.clone(), Arc::clone(&instance.tokens));
    let parts = mta::Parts {
        queue: instance.queue.clone(),
        quarantine: Arc::new(queue::NoQuarantine),
        world: Arc::new(world),
        compose: Arc::new(composer),
    };
    Ok(mta::Engine::start(config, parts)?)
}
