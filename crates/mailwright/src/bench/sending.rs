//! Sending signed, personalised messages of 30 KB to a cheap receiver on this machine, outcomes committed, against a bare
//! program that signs ready-made messages of that size and writes them over as many connections.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use message::{DkimKey, KeyKind};
use store::Dialect;
use testkit::Sink;

use super::instance::{Instance, failed};
use super::measure::{RUNS, Sides, has_postgres, peak_bytes, reset_peak, scaled};
use super::{Bench, runtime};
use crate::output::{Done, Failure, Output};
use crate::server::composer::Composer;

pub const SQLITE: Bench = Bench {
    name: "sending",
    about: "100,000 signed messages of 30 KB from SQLite, beside a bare program that signs and writes ready-made ones",
    run: |out| run(out, Dialect::Sqlite),
};
pub const POSTGRES: Bench = Bench {
    name: "sending-postgres",
    about: "the same from PostgreSQL",
    run: |out| if has_postgres() { run(out, Dialect::Postgres) } else { super::skipped(out) },
};

const MESSAGES: usize = 100_000;
const MESSAGE_LEN: usize = 30_000;
const CONNECTIONS: u32 = 20;
/// Static HTML that makes a message of about 30 KB with its text part, headers and encoding.
const HTML_LEN: usize = 27_000;

fn run(out: &mut Output, dialect: Dialect) -> Done {
    let sinks = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let sink = sinks.block_on(Sink::start(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let messages = scaled(MESSAGES);
    runtime()?.block_on(async {
        let instance = Instance::new(dialect).await?;
        let file = instance.write_people(messages)?;
        instance.import(&file).await?;
        instance.routes.add_domain("shop.example", instance.clock.now_us()).await.map_err(failed)?;
        sign_with_rsa_alone(&instance).await?;
        let engine = engine(&instance, sink.address())?;
        let mut sides = Sides::default();
        for _ in 0..RUNS {
            let id = instance.draft(HTML_LEN).await?;
            let handle =
                instance.deliveries.start_analysis(id, &delivery::By::system()).await.map_err(failed)?;
            let analysis = handle.wait().await.map_err(failed)?;
            reset_peak();
            let (begun, octets) = (Instant::now(), sink.octets());
            instance.deliveries.confirm(id, None, &delivery::By::system()).await.map_err(failed)?;
            until_sent(&instance, id, analysis.to_deliver).await?;
            sides.ours(begun.elapsed(), peak_bytes());
            let length = (sink.octets() - octets) as usize / messages;
            let address = sink.address();
            let bare = tokio::task::spawn_blocking(move || bare(address, messages, length));
            sides.bare(bare.await.map_err(failed)??);
        }
        engine.shutdown().await.map_err(failed)?;
        sides.print(out, messages, "at least 70 % of the bare rate, below 300 MB")
    })
}

/// Like the bare side: with Ed25519 beside it a message costs some 3 % more.
async fn sign_with_rsa_alone(instance: &Instance) -> Result<(), Failure> {
    let sql = "DELETE FROM dkim_key WHERE algorithm <> 'rsa'";
    instance.store.write(store::Lane::Urgent, move |tx| tx.execute(sql, &[])).await.map_err(failed)?;
    instance.routes.refresh();
    Ok(())
}

fn engine(instance: &Instance, sink: SocketAddr) -> Result<mta::Engine, Failure> {
    let mut config = mta::Config::direct("bench.example");
    config.relay = Some(mta::Relay {
        host: sink.ip().to_string(),
        port: sink.port(),
        tls: mta::RelayTls::None,
        login: None,
        connections: CONNECTIONS,
        messages_per_connection: 10_000,
    });
    let clock = Arc::clone(&instance.clock);
    let world = mta::Internet {
        resolver: net::open_resolver(&["127.0.0.1:1".to_owned()], Arc::clone(&clock)).map_err(failed)?,
        clock,
        tls: net::Tls::new(&[]).map_err(failed)?,
        guard: net::Guard::new(vec!["127.0.0.0/8".parse().map_err(failed)?]),
    };
    let composer = Arc::new(Composer::new(
        instance.queue.clone(),
        instance.routes.clone(),
        Arc::clone(&instance.tokens),
    ));
    let parts = mta::Parts {
        queue: instance.queue.clone(),
        quarantine: Arc::new(queue::NoQuarantine),
        world: Arc::new(world),
        compose: composer,
    };
    Ok(mta::Engine::start(config, parts)?)
}

async fn until_sent(instance: &Instance, id: i64, messages: i64) -> Result<(), Failure> {
    loop {
        let figures = instance.queue.figures(id, instance.clock.now_us()).await.map_err(failed)?;
        if figures.sent == messages {
            return Ok(());
        }
        if figures.failed + figures.cancelled > 0 {
            return Err(Failure::refused("the receiver refused messages"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Threads, one a connection, each signing and writing; the kernel shares the cores among them.
fn bare(sink: SocketAddr, messages: usize, length: usize) -> Result<Duration, Failure> {
    let key = DkimKey::generate(KeyKind::Rsa).and_then(|key| key.to_pkcs8()).map_err(failed)?;
    let key = KeyPair::from_pkcs8(&key).map_err(failed)?;
    let body = ready_made(length);
    let left = AtomicUsize::new(messages);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| connection(sink, &key, &body, &left))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| failed("a thread panicked"))?)
    })?;
    Ok(begun.elapsed())
}

fn ready_made(length: usize) -> Vec<u8> {
    let line = b"Ready-made text in lines of a usual length, so that nothing is left to do.\r\n";
    let mut body = b"Subject: ready-made\r\n\r\n".to_vec();
    while body.len() < length.max(MESSAGE_LEN / 2) {
        body.extend_from_slice(line);
    }
    body
}

fn connection(sink: SocketAddr, key: &KeyPair, body: &[u8], left: &AtomicUsize) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(sink)?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    read_reply(&mut replies)?;
    stream.write_all(b"EHLO bare.example\r\n")?;
    read_reply(&mut replies)?;
    let random = SystemRandom::new();
    let mut signature = vec![0; key.public_modulus_len()];
    let mut message = Vec::with_capacity(body.len() + 512);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
        let hash = digest(&SHA256, body);
        key.sign(&RSA_PKCS1_SHA256, &random, hash.as_ref(), &mut signature).map_err(failed)?;
        message.clear();
        message.extend_from_slice(b"DKIM-Signature: v=1; b=");
        signature.iter().for_each(|octet| message.extend_from_slice(format!("{octet:02x}").as_bytes()));
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body);
        message.extend_from_slice(b".\r\n");
        stream.write_all(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")?;
        for _ in 0..3 {
            read_reply(&mut replies)?;
        }
        stream.write_all(&message)?;
        read_reply(&mut replies)?;
    }
    Ok(())
}

fn read_reply(replies: &mut BufReader<TcpStream>) -> Result<(), Failure> {
    let mut line = String::new();
    loop {
        line.clear();
        if replies.read_line(&mut line)? == 0 {
            return Err(Failure::refused("the receiver closed the connection"));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
