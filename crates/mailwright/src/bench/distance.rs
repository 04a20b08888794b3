//! A distant receiver: 50 ms round trip and 200 ms of work after each dot, both played by the receiver. Only as many
//! messages go out as connections allow, so this tells how many round trips a message costs: with PIPELINING one, and
//! 250 ms a message.

use std::net::SocketAddr;
use std::time::Duration;

use store::Dialect;
use testkit::{Delays, Sink};

use super::Bench;
use super::bare::{Bare, Pipelining};
use super::instance::failed;
use super::measure::{Sides, scaled};
use super::sender::{HTML_LEN_10K, Sender, Setup, runtime, sink_runtime};
use crate::output::{Done, Output};

pub const BENCH: Bench = Bench {
    name: "distance",
    about: "signed messages of 10 KB to a receiver 50 ms away that answers the dot after 200 ms, over 20 and 200 connections",
    run,
};

const DELAYS: Delays =
    Delays { round_trip: Duration::from_millis(50), after_dot: Duration::from_millis(200) };
/// Messages of each connection: about so many quarters of a second.
const EACH: usize = 60;
/// Waiting takes most of the time, and it is the same each time.
const RUNS: usize = 3;

fn run(out: &mut Output) -> Done {
    for (connections, goal) in [(20, 76), (200, 760)] {
        let messages = scaled(EACH * connections as usize).max(connections as usize * 10);
        let sinks = sink_runtime()?;
        let sink = sinks.block_on(Sink::start_distant(SocketAddr::from(([127, 0, 0, 1], 0)), DELAYS))?;
        let setup = Setup {
            dialect: Dialect::Sqlite,
            recipients: messages,
            domains: 10,
            html_len: HTML_LEN_10K,
            connections,
            signed: true,
            in_memory: false,
        };
        let mut sides = Sides::default();
        runtime()?.block_on(async {
            let sender = Sender::new(&setup, sink.address()).await?;
            for _ in 0..RUNS {
                let octets = sink.octets();
                let sent = sender.send().await?;
                sides.ours(sent.took, sent.peak_bytes);
                let bare = Bare {
                    sink: sink.address(),
                    connections,
                    messages,
                    length: (sink.octets() - octets) as usize / sent.messages,
                    signed: true,
                    pipelining: Pipelining::Full,
                };
                let took = tokio::task::spawn_blocking(move || bare.run()).await.map_err(failed)??;
                sides.bare(took.time);
            }
            sender.close().await
        })?;
        let most = f64::from(connections) / (DELAYS.round_trip + DELAYS.after_dot).as_secs_f64();
        out.line(format_args!(
            "  {connections} connections, {messages} messages; {most:.0}/s is the most that one round trip a message allows"
        ))?;
        sides.print(out, messages, &format!("at least {goal} messages a second"))?;
    }
    Ok(())
}
