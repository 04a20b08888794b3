//! Facts for the rules: what the content says, who sends, and what is known of the target.

use content::{CompileOptions, ContentFacts, Draft};
use typology::{Facts, LinkFact, PartFact, SenderFact};

use crate::definition::Definition;
use crate::types::{Delivery, ProofFreshness, Result};
use crate::{Config, Deliveries};

impl Deliveries {
    /// The sender address as it will be used: the delivery's, else the instance's.
    pub(crate) fn sender_address(&self, definition: &Definition) -> String {
        or(&definition.sender.address, &self.config().from_address)
    }

    /// The content with the instance's defaults filled in.
    pub(crate) fn draft_of(&self, definition: &Definition, html: Option<&str>, text: Option<&str>) -> Draft {
        let config = self.config();
        let sender = &definition.sender;
        let written = |source: Option<&str>| source.filter(|s| !s.trim().is_empty()).map(str::to_owned);
        Draft {
            from_name: or(&sender.name, &config.from_name),
            from_address: or(&sender.address, &config.from_address),
            reply_to: or(&sender.reply_to, &config.reply_to),
            error_address: or(&sender.error_address, &config.error_address),
            subject: definition.subject.clone(),
            preheader: definition.preheader.clone(),
            html: written(html),
            text: written(text),
            headers: Vec::new(),
        }
    }

    /// Options of the compiler for a delivery.
    pub(crate) async fn compile_options(
        &self,
        delivery: i64,
        definition: &Definition,
        proof_no: i64,
        inert: bool,
    ) -> Result<CompileOptions> {
        let config = self.config();
        let domain = self.sending_domain(definition).await?;
        let bounce_domain = match (&config.bounce_domain, &domain) {
            (configured, _) if !configured.is_empty() => configured.clone(),
            (_, Some(domain)) => format!("bounce.{domain}"),
            // A sender whose domain is a template: bounces come to the instance.
            _ => host_of(&config.public_url),
        };
        Ok(CompileOptions {
            delivery,
            inert,
            subject_prefix: prefix(definition, proof_no),
            public_url: config.public_url.clone(),
            bounce_domain,
            message_id_domain: domain.unwrap_or_else(|| host_of(&config.public_url)),
            list_unsubscribe: true,
            feedback_id: format!("{delivery}:mailwright"),
            now_us: self.now_us(),
            attributes: self.rooms.audience.attribute_names().await?,
        })
    }

    /// The domain of the sender: the one of ours that covers it, else the address's own; none for a template.
    async fn sending_domain(&self, definition: &Definition) -> Result<Option<String>> {
        let address = self.sender_address(definition);
        let Some((_, domain)) = address.rsplit_once('@') else { return Ok(None) };
        let domain = domain.trim().trim_end_matches('>');
        if domain.contains('{') || domain.contains('}') {
            return Ok(None);
        }
        Ok(match self.rooms.routes.covering(domain).await? {
            Some(ours) => Some(ours.domain),
            None => address::Domain::parse(domain).ok().map(|domain| domain.ascii().to_owned()),
        })
    }

    /// Facts before the content is compiled.
    pub(crate) async fn first_facts(&self, delivery: &Delivery, draft: &Draft) -> Result<Facts> {
        let config = self.config();
        let domain = draft.from_address.rsplit_once('@').map(|(_, domain)| domain.trim());
        let domain_known = match domain {
            Some(domain) if !domain.contains('{') => {
                Some(self.rooms.routes.covering(domain).await?.is_some())
            }
            _ => None,
        };
        Ok(Facts {
            subject: draft.subject.clone(),
            sender: sender(draft, &config, domain_known),
            proof_outdated: match (delivery.parent, delivery.proof) {
                (None, ProofFreshness::Outdated) => Some(true),
                (None, ProofFreshness::Current) => Some(false),
                _ => None,
            },
            ..Facts::default()
        })
    }
}

/// Adds what the compiled content says.
pub(crate) fn with_content(facts: &mut Facts, content: &ContentFacts) {
    facts.links = content
        .links
        .iter()
        .map(|link| LinkFact {
            part: link.part.clone(),
            url: link.url.clone(),
            has_text: link.has_text,
            line: link.line,
            column: link.column,
        })
        .collect();
    let part = |name: &str, generated, fact: &content::PartFacts| PartFact {
        part: name.to_owned(),
        generated,
        unsubscribe: fact.unsubscribe_link,
        mirror: fact.mirror_link,
        bytes: fact.size,
    };
    facts.parts = content.html.iter().map(|fact| part("html", false, fact)).collect();
    facts.parts.extend(content.text.iter().map(|fact| part("text", content.text_generated, fact)));
}

/// `Proof #3: ` before a proof's subject; nothing for a delivery.
pub(crate) fn prefix(definition: &Definition, proof_no: i64) -> String {
    match proof_no {
        0 => String::new(),
        n => format!("{} #{n}: ", definition.proof.prefix.trim()),
    }
}

fn sender(draft: &Draft, config: &Config, domain_known: Option<bool>) -> SenderFact {
    SenderFact {
        name: draft.from_name.clone(),
        address: draft.from_address.clone(),
        reply_to: draft.reply_to.clone(),
        error_address: draft.error_address.clone(),
        from_masks: config.from_masks.clone(),
        error_masks: config.error_masks.clone(),
        domain_known,
    }
}

/// The host of a URL; `localhost` when there is none to be read.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    if host.is_empty() { "localhost".to_owned() } else { host.to_owned() }
}

fn or(own: &str, default: &str) -> String {
    if own.trim().is_empty() { default.to_owned() } else { own.trim().to_owned() }
}
