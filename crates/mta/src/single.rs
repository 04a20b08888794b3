//! One message outside any delivery, at once: Setup's *send me a test mail*, and whatever else wants the receiver's words
//! while somebody looks. No row, no retry; the same route, connection and dialogue as every message.

use std::sync::Arc;

use smtp::{Answer, Event, Outcome};

use crate::config::{WATCH, us};
use crate::connect::connect;
use crate::engine::Shared;
use crate::exchange::{Exchange, Way};
use crate::wire::Wire;
use crate::world::MailHosts;

/// Transaction number; the connection carries only this one.
const ONLY: u64 = 0;

/// Sends it and answers with the receiver's words; `Err` says in words why it was not taken.
pub(crate) async fn send(shared: &Shared, from: &str, to: &str, message: &[u8]) -> Result<String, String> {
    let mailbox = address::Mailbox::parse(to).map_err(|error| error.to_string())?;
    let exchange = exchange_of(shared, mailbox.domain_ascii()).await?;
    let source = &shared.config.sources[shared.next_source()];
    let mut wire = connect(shared, &exchange, source).await.map_err(|unreached| unreached.reason)?;
    let envelope = smtp::Envelope {
        from: from.to_owned(),
        to: mailbox.smtp(),
        size: message.len() as u64,
        eight_bit: !message.is_ascii(),
    };
    wire.client.begin(ONLY, envelope).map_err(|why| why.to_string())?;
    let outcome = converse(shared, &mut wire, message).await?;
    match outcome.answer {
        Answer::Reply(reply) if reply.is_positive() => Ok(reply.to_string()),
        Answer::Reply(reply) => Err(format!("at {}: {reply}", outcome.stage)),
        Answer::None(why) => Err(format!("at {}: {why}", outcome.stage)),
    }
}

async fn exchange_of(shared: &Shared, domain: &str) -> Result<Arc<Exchange>, String> {
    if shared.config.relay.is_some() {
        return Ok(shared.exchange(Way::Relay, domain, None));
    }
    match shared.world.mail_hosts(domain).await {
        MailHosts::Hosts(hosts) => Ok(shared.exchange(Way::Hosts(hosts.into()), domain, None)),
        MailHosts::NullMx => Err(format!("{domain} takes no mail (null MX)")),
        MailHosts::NoDomain => Err(format!("{domain} does not exist, or has neither MX nor address")),
        MailHosts::Unanswered(why) => Err(format!("the DNS did not answer for {domain}: {why}")),
    }
}

async fn converse(shared: &Shared, wire: &mut Wire, message: &[u8]) -> Result<Outcome, String> {
    let mut result = None;
    loop {
        while let Some(event) = wire.next_event() {
            match event {
                Event::BodyWanted { id } => {
                    wire.client.body(id, message);
                }
                Event::Finished { outcome, .. } => {
                    result = Some(outcome);
                    wire.client.quit();
                }
                Event::Closed { why, .. } => return result.ok_or_else(|| why.to_string()),
                Event::Ready | Event::Handshake => {}
            }
        }
        let now = shared.world.now_us();
        wire.watch(now);
        if wire.client.is_closed() {
            continue;
        }
        // After a refused MAIL or RCPT of a group the farewell has to wait for the rest of its replies.
        if result.is_some() && wire.client.is_idle() {
            wire.client.quit();
        }
        tokio::select! {
            () = wire.step() => {}
            () = shared.world.sleep_until(now + us(WATCH)) => {}
        }
    }
}
