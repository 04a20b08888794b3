//! Sending signed, personalised messages to a cheap receiver on this machine, outcomes committed, against a bare program
//! that signs ready-made messages of that size and writes them with full pipelining over as many connections. CPU time is
//! printed by part.

use store::Dialect;

use super::Bench;
use super::bare::{Bare, PROBE, Pipelining};
use super::instance::failed;
use super::measure::{RUNS, Sides, has_postgres, median, scaled};
use super::sender::{HTML_LEN_10K, HTML_LEN_30K, Sender, Sent, Setup, runtime, sink, sink_runtime};
use crate::output::{Done, Failure, Output};

pub const SQLITE: Bench = Bench {
    name: "sending",
    about: "100,000 signed messages of 10 KB from SQLite at 1, 10 and 100 domains, beside a bare program that signs and writes ready-made ones",
    run: |out| all(out, Dialect::Sqlite, HTML_LEN_10K),
};
pub const SQLITE_30K: Bench = Bench {
    name: "sending-30k",
    about: "the same with 30 KB",
    run: |out| all(out, Dialect::Sqlite, HTML_LEN_30K),
};
pub const POSTGRES: Bench = Bench {
    name: "sending-postgres",
    about: "10 KB from PostgreSQL on the same cores",
    run: |out| {
        if has_postgres() { all(out, Dialect::Postgres, HTML_LEN_10K) } else { super::skipped(out) }
    },
};
pub const POSTGRES_30K: Bench = Bench {
    name: "sending-30k-postgres",
    about: "30 KB from PostgreSQL on the same cores",
    run: |out| {
        if has_postgres() { all(out, Dialect::Postgres, HTML_LEN_30K) } else { super::skipped(out) }
    },
};
pub const UNSIGNED: Bench = Bench {
    name: "unsigned",
    about: "unsigned messages of 10 KB from SQLite, durable and with the database in memory, beside the bare program unsigned",
    run: unsigned,
};

const MESSAGES: usize = 100_000;
const CONNECTIONS: u32 = 20;
const DOMAINS: [usize; 3] = [1, 10, 100];

fn all(out: &mut Output, dialect: Dialect, html_len: usize) -> Done {
    let goal = match dialect {
        Dialect::Sqlite => "at least 80 % of the bare rate, below 300 MB",
        Dialect::Postgres => "at least 65 % of the bare rate, below 300 MB",
    };
    for domains in DOMAINS {
        let setup = Setup {
            dialect,
            recipients: scaled(MESSAGES),
            domains,
            html_len,
            connections: CONNECTIONS,
            signed: true,
            in_memory: false,
        };
        let sinks = sink_runtime()?;
        let sink = sink(&sinks)?;
        let mut parts = Parts::default();
        let (mut sides, mut bare_us) = (Sides::default(), Vec::new());
        let mut length = 0;
        runtime()?.block_on(async {
            let sender = Sender::new(&setup, sink.address()).await?;
            for _ in 0..RUNS {
                let octets = sink.octets();
                let sent = sender.send().await?;
                length = (sink.octets() - octets) as usize / sent.messages;
                sides.ours(sent.took, sent.peak_bytes);
                parts.add(&sent);
                let bare = Bare {
                    sink: sink.address(),
                    connections: CONNECTIONS,
                    messages: sent.messages,
                    length,
                    signed: true,
                    pipelining: Pipelining::Full,
                };
                let took = tokio::task::spawn_blocking(move || bare.run()).await.map_err(failed)??;
                sides.bare(took.time);
                bare_us.push(took.cpu * 1e6 / sent.messages as f64);
            }
            sender.close().await
        })?;
        out.line(format_args!("  {} messages of {length} octets, {domains} domains", setup.recipients))?;
        sides.print(out, setup.recipients, goal)?;
        parts.print(out)?;
        out.line(format_args!("  CPU a message of the bare program: {:.0} us", median(&mut bare_us)))?;
    }
    Ok(())
}

/// CPU time a message by part, of each run, in microseconds. The receiver's is left out; PostgreSQL's own is not ours to
/// see.
#[derive(Default)]
pub struct Parts {
    composing: Vec<f64>,
    sending: Vec<f64>,
    settling: Vec<f64>,
    whole: Vec<f64>,
    signature: Vec<f64>,
}

impl Parts {
    /// One delivery's.
    pub fn add(&mut self, sent: &Sent) {
        let each = |seconds: f64| seconds * 1e6 / sent.messages as f64;
        self.composing.push(each(sent.cpu.of("compose")));
        self.sending.push(each(sent.cpu.of("io")));
        // The database's threads, and the one that gathers outcomes.
        self.settling.push(each(sent.cpu.of("store") + sent.cpu.of("settle")));
        self.whole.push(each(sent.cpu.without(&["sink", PROBE])));
        self.signature.push(sent.signature * 1e6);
    }

    /// CPU microseconds of a message, all parts together.
    pub fn whole(&mut self) -> f64 {
        median(&mut self.whole)
    }

    pub fn print(&mut self, out: &mut Output) -> Done {
        let signature = median(&mut self.signature);
        let (composing, sending) = (median(&mut self.composing), median(&mut self.sending));
        let (settling, whole) = (median(&mut self.settling), median(&mut self.whole));
        out.line(format_args!(
            "  CPU a message: {whole:.0} us = compose {:.0} + sign {signature:.0} + send {sending:.0} + settle {settling:.0} + other {:.0}",
            composing - signature,
            whole - composing - sending - settling
        ))?;
        if signature > 0.0 {
            out.line(format_args!(
                "  all but the signature: {:.0} us, {:.0} % of a signature (goal at 10 KB: below 25 %)",
                whole - signature,
                100.0 * (whole - signature) / signature
            ))?;
        }
        Ok(())
    }
}

fn unsigned(out: &mut Output) -> Done {
    let setup = Setup {
        dialect: Dialect::Sqlite,
        recipients: scaled(MESSAGES),
        domains: 10,
        html_len: HTML_LEN_10K,
        connections: CONNECTIONS,
        signed: false,
        in_memory: false,
    };
    let sinks = sink_runtime()?;
    let sink = sink(&sinks)?;
    let mut parts = Parts::default();
    let (mut full, mut group, mut memory) = (Sides::default(), Sides::default(), Sides::default());
    runtime()?.block_on(async {
        let durable = Sender::new(&setup, sink.address()).await?;
        let in_memory = Sender::new(&Setup { in_memory: true, ..setup }, sink.address()).await?;
        for _ in 0..RUNS {
            let octets = sink.octets();
            let sent = durable.send().await?;
            let length = (sink.octets() - octets) as usize / sent.messages;
            full.ours(sent.took, sent.peak_bytes);
            group.ours(sent.took, sent.peak_bytes);
            memory.ours(sent.took, 0);
            parts.add(&sent);
            memory.bare(in_memory.send().await?.took);
            for (sides, pipelining) in [(&mut full, Pipelining::Full), (&mut group, Pipelining::Group)] {
                let bare = Bare {
                    sink: sink.address(),
                    connections: CONNECTIONS,
                    messages: sent.messages,
                    length,
                    signed: false,
                    pipelining,
                };
                let took = tokio::task::spawn_blocking(move || bare.run()).await.map_err(failed)??;
                sides.bare(took.time);
            }
        }
        durable.close().await?;
        in_memory.close().await
    })?;
    out.line(format_args!("  beside the bare program that writes a command group, then a body"))?;
    group.print(out, setup.recipients, "at least 33 % of the bare rate")?;
    out.line(format_args!("  beside the bare program with full pipelining"))?;
    full.print(out, setup.recipients, "at least 33 % of the bare rate")?;
    out.line(format_args!("  what durability costs: beside the same with its database in memory"))?;
    memory.print(out, setup.recipients, "at least 85 % of its rate")?;
    parts.print(out)
}

/// One delivery's rate, in messages a second.
pub fn rate(sent: &Sent) -> f64 {
    sent.messages as f64 / sent.took.as_secs_f64()
}

/// What is missing when a counterpart cannot be had.
pub fn cannot(out: &mut Output, why: &str) -> Done {
    out.line(format_args!("  skipped: {why}"))?;
    Ok::<(), Failure>(())
}
