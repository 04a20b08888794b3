//! How long a page and a click take while the same process sends at full rate from a large backlog, beside the same
//! when nothing is sent. The server is whole: its doors, its two runtimes, its database; the asker is a thread that
//! opens a connection for each request, as a reader's click does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use message::{Token, TokenKeys};
use store::Dialect;
use testkit::Sink;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Bench;
use super::instance::{Closed, failed};
use super::measure::{has_postgres, median, scaled};
use super::sender::{runtime, sink, sink_runtime};
use crate::cli::ServeArgs;
use crate::output::{Done, Failure, Output};
use crate::server::serve::Runtimes;
use crate::server::{Prepared, wiring};

pub const SQLITE: Bench = Bench {
    name: "pages",
    about: "pages and clicks while sending at full rate from 1,000,000 pending, beside the same on an idle server, on SQLite",
    run: |out| run(out, Dialect::Sqlite, 1_000_000),
};
pub const SQLITE_LARGE: Bench = Bench {
    name: "pages-large",
    about: "the same from 10,000,000 pending",
    run: |out| run(out, Dialect::Sqlite, 10_000_000),
};
pub const POSTGRES: Bench = Bench {
    name: "pages-postgres",
    about: "pages and clicks while sending at full rate from 1,000,000 pending, on PostgreSQL on the same cores",
    run: |out| postgres(out, 1_000_000),
};
pub const POSTGRES_LARGE: Bench = Bench {
    name: "pages-large-postgres",
    about: "the same from 10,000,000 pending",
    run: |out| postgres(out, 10_000_000),
};

/// Turns of rest and sending.
const TURNS: usize = 5;
/// How long is asked at rest.
const AT_REST: Duration = Duration::from_secs(3);
/// How long is asked while sending.
const SENDING: Duration = Duration::from_secs(6);
/// Until the rate is full.
const RISE: Duration = Duration::from_secs(1);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(15);
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "pages-while-sending";

fn postgres(out: &mut Output, pending: usize) -> Done {
    if has_postgres() { run(out, Dialect::Postgres, pending) } else { super::skipped(out) }
}

fn run(out: &mut Output, dialect: Dialect, pending: usize) -> Done {
    let pending = scaled(pending) as i64;
    let sinks = sink_runtime()?;
    let sink = sink(&sinks)?;
    let filling = runtime()?;
    let (closed, id) = filling.block_on(async {
        let (instance, id) = super::backlog::filled(dialect, pending, &sink).await?;
        super::backlog::put_control(&instance, id, queue::Control::Paused).await?;
        Ok::<_, Failure>((instance.close().await?, id))
    })?;
    drop(filling);
    let runtimes = Runtimes::new()?;
    let taken = runtimes.http.block_on(measure(&closed, id, &sink, runtimes.io.handle().clone()))?;
    out.line(format_args!(
        "  {pending} messages pending; {:.0} messages/s while pages are asked for",
        taken.rate
    ))?;
    for (kind, (mut rest, mut sending)) in KINDS.iter().zip(taken.rest.into_iter().zip(taken.sending)) {
        out.line(format_args!("  {kind}: {}, at rest {}", figures(&mut sending), figures(&mut rest)))?;
    }
    out.line("  goal: below 100 ms")?;
    runtimes.io.shutdown_background();
    runtimes.http.shutdown_background();
    // A backlog that is kept goes on, for whoever measures next.
    runtime()?.block_on(async { super::backlog::leave(closed.open().await?, id).await })
}

const KINDS: [&str; 3] = ["the Watch page", "the list of deliveries", "a click"];

/// Milliseconds of each answer, by [`KINDS`].
type Waits = [Vec<f64>; KINDS.len()];

struct Taken {
    rest: Waits,
    sending: Waits,
    rate: f64,
}

fn figures(waits: &mut [f64]) -> String {
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (waits.len() as f64 * share).ceil() as usize;
        waits.get(place.max(1) - 1).copied().unwrap_or_default()
    };
    format!(
        "half within {:.1} ms, 99 of 100 within {:.1} ms, the slowest {:.1} ms ({} asked)",
        at(0.5),
        at(0.99),
        at(1.0),
        waits.len()
    )
}

async fn measure(
    closed: &Closed,
    id: i64,
    sink: &Sink,
    io: tokio::runtime::Handle,
) -> Result<Taken, Failure> {
    let config = closed.path().join("pages.toml");
    std::fs::write(&config, format!("[mta]\nrelay = \"smtp://{}?tls=none\"\n", sink.address()))?;
    let socket = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let listen = socket.local_addr()?;
    let args = ServeArgs {
        database: Some(closed.url().to_owned()),
        listen: Some(listen.to_string()),
        config: Some(config),
    };
    let prepared = Prepared::new(closed.path(), &args)?;
    let house = wiring::build(&prepared, listen, None, io).await?;
    let (closing, mut is_closed) = watch::channel(false);
    let router = http::admin_router(&house.state, true);
    let door = tokio::spawn(http::listener::serve(socket, router, async move {
        // An error means that the sender is gone, which is the end too.
        let _ = is_closed.wait_for(|closed| *closed).await;
    }));
    let asker = Asker {
        listen,
        cookie: sign_in(&house).await?,
        delivery: id,
        tokens: Arc::clone(&house.state.tokens),
    };
    let taken = turns(&house, Arc::new(asker), sink).await;
    house.engine.shutdown().await;
    house.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    closing.send_replace(true);
    door.await.map_err(failed)??;
    house.state.tracking.close().await;
    house.store.close().await;
    taken
}

async fn turns(house: &wiring::House, asker: Arc<Asker>, sink: &Sink) -> Result<Taken, Failure> {
    let (queue, clock) = (&house.state.queue, &house.state.clock);
    let mut taken = Taken { rest: Waits::default(), sending: Waits::default(), rate: 0.0 };
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        merge(&mut taken.rest, ask_for(&asker, AT_REST).await?);
        queue.resume(asker.delivery, clock.now_us()).await.map_err(failed)?;
        tokio::time::sleep(RISE).await;
        let (from, since) = (sink.messages(), Instant::now());
        merge(&mut taken.sending, ask_for(&asker, SENDING).await?);
        rates.push((sink.messages() - from) as f64 / since.elapsed().as_secs_f64());
        house.state.engine.pause(asker.delivery).await.map_err(|problem| failed(format!("{problem:?}")))?;
        // The last answers, and whatever the pause has to write.
        tokio::time::sleep(RISE).await;
    }
    taken.rate = median(&mut rates);
    Ok(taken)
}

fn merge(into: &mut Waits, more: Waits) {
    into.iter_mut().zip(more).for_each(|(into, more)| into.extend(more));
}

async fn ask_for(asker: &Arc<Asker>, time: Duration) -> Result<Waits, Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let (asker, ends) = (Arc::clone(asker), Arc::clone(&over));
    let asking = tokio::task::spawn_blocking(move || asker.ask_until(&ends));
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Release);
    asking.await.map_err(failed)?
}

/// The name and the password of the first start, or those that an earlier run left.
async fn sign_in(house: &wiring::House) -> Result<String, Failure> {
    let (access, now_us) = (&house.state.access, house.state.clock.now_us());
    let browser = access::Browser { peer: [127, 0, 0, 1].into(), agent: "mailwright bench".to_owned() };
    let (name, password) = match &house.first {
        Some(first) => (first.name.as_str(), first.password.as_str()),
        None => (access::FIRST_ACCOUNT, PASSWORD),
    };
    let signed_in = access.sign_in(name, password, &browser, now_us).await.map_err(failed)?;
    let access::SignIn::Done(signed_in) = signed_in else {
        return Err(Failure::refused("a second step is wanted"));
    };
    if house.first.is_some() {
        let changed = access.change_password(&signed_in.caller, password, PASSWORD, None, now_us).await;
        changed.map_err(failed)?;
        let again = access.sign_in(name, PASSWORD, &browser, now_us).await.map_err(failed)?;
        if let access::SignIn::Done(signed_in) = again {
            return Ok(signed_in.cookie);
        }
    }
    Ok(signed_in.cookie)
}

/// Somebody at a browser, and recipients.
struct Asker {
    listen: SocketAddr,
    cookie: String,
    delivery: i64,
    tokens: Arc<TokenKeys>,
}

impl Asker {
    fn ask_until(&self, over: &AtomicBool) -> Result<Waits, Failure> {
        let mut waits = Waits::default();
        let mut n = 0;
        while !over.load(Ordering::Acquire) {
            let watch = format!("/deliveries/{}/watch", self.delivery);
            waits[0].push(self.ask(&watch, 200)?);
            waits[1].push(self.ask("/deliveries", 200)?);
            // Another reader each time.
            let token = Token { message: queue::message_id(self.delivery, n), inert: false };
            waits[2].push(self.ask(&format!("{}0", self.tokens.click_base("", token)), 302)?);
            n += 1;
        }
        Ok(waits)
    }

    /// From connecting to the last octet of the answer, in milliseconds.
    fn ask(&self, path: &str, wanted: u16) -> Result<f64, Failure> {
        std::thread::sleep(PAUSE);
        let begun = Instant::now();
        let mut stream = TcpStream::connect(self.listen)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}={}\r\nConnection: close\r\n\r\n",
            self.listen,
            access::SESSION_COOKIE,
            self.cookie
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let took = begun.elapsed();
        let said = String::from_utf8_lossy(&answer);
        if !said.starts_with(&format!("HTTP/1.1 {wanted} ")) {
            let first = said.lines().next().unwrap_or_default();
            return Err(Failure::refused(format!("{path} answers {first}")));
        }
        Ok(took.as_secs_f64() * 1e3)
    }
}
