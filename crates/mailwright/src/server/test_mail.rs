//! *Send me a test mail*: one message outside any delivery, sent at once over the configured way, so that Setup can tell
//! whether mail leaves this machine. Inert: nothing in it acts on anybody.

use message::{Envelope, Prepared, SimpleMail, Slots, Stamp};
use mta::Engine;

use super::engine::Supplies;

const SUBJECT: &str = "A test mail from Mailwright";
const TEXT: &str = "This is the test mail that you asked for in Mailwright's setup.\n\nIt went the way that your deliveries \
                    will go. Look at its headers to see whether the receiver found SPF, DKIM and DMARC in order.\n";

/// Sends it; answers with the receiver's words.
pub async fn send(engine: &Engine, supplies: &Supplies, from: &str, to: &str) -> Result<String, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let from = address::parse(from).map_err(|error| format!("the sender's address: {error}"))?;
    let to = address::parse(to).map_err(|error| format!("the address: {error}"))?;
    let domain = from.domain_ascii();
    let signing = match supplies.routes.signing_for(domain).await {
        Ok(signing) => signing,
        // Without keys it goes unsigned, which the receiver's headers then show.
        Err(routes::Error::UnknownDomain(_)) => std::sync::Arc::default(),
        Err(error) => return Err(told(&error)),
    };
    let bounce_domain = supplies.settings.borrow().feedback_domain().map(str::to_owned);
    let mail = SimpleMail {
        from_name: "Mailwright".to_owned(),
        from_address: from.smtp(),
        subject: SUBJECT.to_owned(),
        text: TEXT.to_owned(),
        bounce_domain: bounce_domain.unwrap_or_else(|| format!("bounce.{domain}")),
    };
    let prepared = Prepared::new(mail.snapshot(), |_| None).map_err(|error| told(&error))?;
    let (address, time_us) = (to.smtp(), supplies.clock.now_us());
    // No row stands behind this number; it only makes the Message-ID another one each time.
    let number = i64::from(rand::random::<u32>() >> 4);
    let envelope = Envelope { id: number, address: &address, flags: i64::from(message::VARIANT_TEXT) };
    let composed = message::compose(
        &prepared,
        &Slots::default(),
        &envelope,
        &Stamp { time_us },
        &signing.signers,
        &supplies.tokens,
    );
    let composed = composed.map_err(|error| told(&error))?;
    engine.send_one(&composed.return_path, &address, &composed.bytes).await
}
