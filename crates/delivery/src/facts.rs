//! Facts for the rules: what the content says, who sends, what is known of the target, and what is asked outside.

mod authentication;
pub(crate) mod kept;
pub(crate) mod lookups;
mod sources;
mod targets;

use std::collections::BTreeMap;

use content::{
    AttachmentDraft, CompileOptions, ContentFacts, Draft, FormatChoice, ImageChoice, NamedAsset, Owner,
    Problem,
};
use message::{Charset, LinkMode, MirrorMode};
use store::{Lane, binds};
use typology::{
    ExcludedFact, Facts, HeaderFact, ImageFact, Level, LinkFact, PartFact, Phase, ProviderFact, SenderFact,
};

use crate::analyse::Work;
use crate::definition::{Definition, LinkChoice};
use crate::numbering::DomainShare;
use crate::parameters::Limits;
use crate::types::{Delivery, Error, ProofFreshness, Result, Sources};
use crate::{Config, Deliveries};

impl Deliveries {
    /// The sender address as it will be used: the delivery's, else the instance's.
    pub(crate) fn sender_address(&self, definition: &Definition) -> String {
        or(&definition.sender.address, &self.config().from_address)
    }

    /// The content with the instance's defaults filled in. `files` are those that the delivery has.
    pub(crate) fn draft_of(
        &self,
        definition: &Definition,
        sources: &Sources,
        files: &[NamedAsset],
    ) -> Result<Draft, Vec<Problem>> {
        let config = self.config();
        let sender = &definition.sender;
        let (content, parameters) = (&definition.content, &definition.parameters);
        let written = |source: &Option<String>| source.clone().filter(|s| !s.trim().is_empty());
        let mjml = written(&sources.mjml);
        Ok(Draft {
            from_name: or(&sender.name, &config.from_name),
            from_address: or(&sender.address, &config.from_address),
            reply_to: or(&sender.reply_to, &config.reply_to),
            error_address: or(&sender.error_address, &config.error_address),
            subject: definition.subject.clone(),
            preheader: definition.preheader.clone(),
            html: written(&sources.html).filter(|_| mjml.is_none()),
            mjml,
            text: written(&sources.text),
            amp: written(&sources.amp),
            headers: parameters.headers.clone().into_iter().collect(),
            precedence: parameters.precedence.clone(),
            inline_css: content.inline_css,
            personalise: content.personalise,
            image_mode: match content.images.as_str() {
                "inline" => ImageChoice::Inline,
                _ => ImageChoice::Link,
            },
            image_inline: inline_images(definition, files),
            link_choices: definition.tracking.links.iter().map(link_choice).collect(),
            utm: definition
                .tracking
                .utm
                .iter()
                .map(|(name, value)| (utm_name(name), value.clone()))
                .collect(),
            track_clicks: definition.tracking.clicks,
            track_opens: definition.tracking.opens,
            mirror: mirror_mode(&parameters.mirror_page),
            attachments: attachments(definition, files)?,
            encoding: Charset::parse(&parameters.encoding).unwrap_or(Charset::UTF_8),
            format: match parameters.format.as_str() {
                "alternative" => FormatChoice::Alternative,
                "text" => FormatChoice::Text,
                _ => FormatChoice::Recipient,
            },
        })
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
        let limits = Limits::of(&definition.parameters)?;
        let assets = self.rooms.content.assets_for(Owner::Delivery(delivery)).await?;
        let domain = self.sending_domain(definition).await?;
        let bounce_domain = match (&config.bounce_domain, &domain) {
            (configured, _) if !configured.is_empty() => configured.clone(),
            (_, Some(domain)) => format!("bounce.{domain}"),
            // A sender whose domain is a template: bounces come to the instance.
            _ => self.or_instance(None),
        };
        Ok(CompileOptions {
            delivery,
            inert,
            banner: (proof_no > 0).then(|| crate::rounds::banner(proof_no)),
            subject_prefix: prefix(definition, proof_no),
            public_url: config.public_url.clone(),
            bounce_domain,
            message_id_domain: self.or_instance(domain),
            list_unsubscribe: true,
            feedback_id: format!("{delivery}:mailwright"),
            now_us: self.now_us(),
            attributes: self.rooms.audience.attribute_names().await?,
            blocks: self.rooms.content.block_sources().await?,
            assets,
            format_rules: self.rooms.content.format_rules().await?,
            code_key: Some(self.rooms.code_key.clone()),
            personalization_time_ms: (limits.personalisation_us / 1_000).unsigned_abs(),
        })
    }

    /// The domain of the sender: the one of ours that covers it, else the address's own; none for a template.
    pub(crate) async fn sending_domain(&self, definition: &Definition) -> Result<Option<String>> {
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

    /// The domain on which its Message-IDs stand, and which receivers know it by: the sender's, for a template the instance's.
    pub(crate) async fn message_id_domain(&self, definition: &Definition) -> Result<String> {
        Ok(self.or_instance(self.sending_domain(definition).await?))
    }

    fn or_instance(&self, domain: Option<String>) -> String {
        domain.unwrap_or_else(|| host_of(&self.config().public_url))
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
        let header =
            |(name, value): &(String, String)| HeaderFact { name: name.clone(), value: value.clone() };
        let headers = draft.headers.iter().map(header);
        Ok(Facts {
            delivery: typology::DeliveryFact {
                proof: delivery.parent.is_some(),
                ..crate::typologies::facts_of(&delivery.definition).delivery
            },
            headers: headers.collect(),
            public_url: config.public_url.clone(),
            tls: Some(config.tls),
            pool: self.pool_fact(&delivery.definition).await?,
            subject: draft.subject.clone(),
            sender: sender(draft, &config, domain_known),
            proof_outdated: match (delivery.parent, delivery.proof) {
                (None, ProofFreshness::Outdated) => Some(true),
                (None, ProofFreshness::Current) => Some(false),
                _ => None,
            },
            archive_problem: config
                .archive_problem
                .clone()
                .filter(|_| delivery.parent.is_none() && delivery.definition.parameters.bcc),
            ..Facts::default()
        })
    }
}

impl Work<'_> {
    /// Tries the rules on the content alone, so that a delivery whose content is wrong does not compute a target. Does
    /// it fail? Their findings are kept only then: they run again when the target is known.
    pub(crate) fn fails_early(&mut self) -> bool {
        let phase = Phase::StartOfPersonalisation;
        let found = typology::run(phase, &self.facts, &self.selection, self.this.now_us());
        let is_error = |finding: &typology::Finding| finding.level == Level::Error;
        let fails = self.findings.iter().chain(&found).any(is_error);
        if fails {
            self.findings.extend(found);
        }
        fails
    }

    /// Adds what is known once the target is: its providers, its exclusions, and the answers from outside. Answers
    /// whether the analysis goes on.
    pub(crate) async fn answered(&mut self, shares: &[DomainShare]) -> Result<bool> {
        self.facts.providers = providers(shares);
        let id = self.delivery.id;
        let excluded = self.this.store.read(move |tx| {
            tx.query(
                "SELECT reason, CAST(sum(recipients) AS BIGINT) FROM exclusion_count WHERE delivery = $1 \
                 GROUP BY reason ORDER BY 2 DESC, 1",
                &binds![id],
                |row| Ok::<_, Error>(ExcludedFact { reason: row.text(0)?, recipients: row.int(1)? }),
            )
        });
        self.facts.excluded = excluded.await?;
        let Some(asking) = self.asking.take() else { return Ok(true) };
        match asking.answers(self.handle).await? {
            Some(lookups) => self.facts.lookups = lookups,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Keeps the facts, for rules that are yet to be written; a proof's say nothing of a delivery.
    pub(crate) async fn keep_facts(&self) -> Result<()> {
        if self.facts.proof.is_some() {
            return Ok(());
        }
        let (id, now_us, facts) = (self.delivery.id, self.this.now_us(), kept::to_json(&self.facts)?);
        self.this.store.write(Lane::Bulk, move |tx| kept::keep(tx, id, &facts, now_us)).await
    }
}

/// Messages by provider, largest first. The domains of no known provider stand together.
fn providers(shares: &[DomainShare]) -> Vec<ProviderFact> {
    let mut messages: BTreeMap<&str, i64> = BTreeMap::new();
    for share in shares {
        let provider = if share.lane.starts_with("tail-") { "other" } else { share.lane.as_str() };
        *messages.entry(provider).or_default() += share.messages;
    }
    let fact = |(provider, messages): (&str, i64)| ProviderFact { provider: provider.to_owned(), messages };
    let mut facts: Vec<ProviderFact> = messages.into_iter().map(fact).collect();
    facts.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.provider.cmp(&b.provider)));
    facts
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
        characters: Some(fact.seen.chars().filter(|c| !c.is_whitespace()).count()),
        suspicious: typology::suspicious(&fact.seen),
    };
    let image = |image: &content::ImageFact| ImageFact {
        src: image.src.clone(),
        has_alt: image.has_alt,
        line: image.line,
        column: image.column,
    };
    facts.images = content.images.iter().map(image).collect();
    facts.mirror_page = Some(content.mirror_page);
    facts.parts = content.html.iter().map(|fact| part("html", false, fact)).collect();
    facts.parts.extend(content.text.iter().map(|fact| part("text", content.text_generated, fact)));
}

/// Images that travel with the message: those that the definition names, and those that were chosen file by file.
fn inline_images(definition: &Definition, files: &[NamedAsset]) -> Vec<String> {
    let chosen = files.iter().filter(|file| file.inline).map(|file| file.name.clone());
    definition.content.inline_images.iter().cloned().chain(chosen).collect()
}

fn link_choice(choice: &LinkChoice) -> content::LinkChoice {
    content::LinkChoice {
        url: choice.url.clone(),
        label: choice.label.clone(),
        category: choice.category.clone(),
        mode: match choice.mode.as_str() {
            "untracked" => LinkMode::Untracked,
            "opt_out" => LinkMode::OptOut,
            "mirror" => LinkMode::Mirror,
            _ => LinkMode::Tracked,
        },
    }
}

/// `source` and `utm_source` mean the same.
fn utm_name(name: &str) -> String {
    if name.starts_with("utm_") { name.to_owned() } else { format!("utm_{name}") }
}

/// Reads a word of `parameters.mirror_page`.
pub(crate) fn mirror_mode(word: &str) -> MirrorMode {
    match word {
        "always" => MirrorMode::Always,
        "never" => MirrorMode::Never,
        "by_message" => MirrorMode::ByMessage,
        _ => MirrorMode::WhenLinked,
    }
}

/// The files that go along, with a problem for each that is not there.
fn attachments(definition: &Definition, files: &[NamedAsset]) -> Result<Vec<AttachmentDraft>, Vec<Problem>> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for attachment in &definition.content.attachments {
        let name = attachment.file.strip_prefix("assets/").unwrap_or(&attachment.file);
        match files.iter().find(|file| file.name == name) {
            Some(file) => found.push(AttachmentDraft {
                hash: file.hash.clone(),
                content_type: file.content_type.clone(),
                size: file.size,
                name: or(&attachment.name, name.rsplit('/').next().unwrap_or(name)),
                when: attachment.when.trim().to_owned(),
            }),
            None => missing.push(
                Problem::new("attachments", format!("{} is not among the delivery's files", attachment.file))
                    .hint("upload it, or take it out of the attachments"),
            ),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(missing) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Attachment;

    #[test]
    fn an_attachment_has_the_files_name_unless_it_is_named() {
        let file = NamedAsset {
            name: "docs/terms.pdf".into(),
            hash: "00".repeat(32),
            size: 7,
            ..NamedAsset::default()
        };
        let mut definition = Definition::new("x");
        let attach = |file: &str, name: &str| Attachment {
            file: file.into(),
            name: name.into(),
            when: " a == 1 ".into(),
        };
        definition.content.attachments =
            vec![attach("assets/docs/terms.pdf", ""), attach("docs/terms.pdf", "Terms {{ country }}.pdf")];
        let found = attachments(&definition, &[file]).unwrap();
        let names: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.when.as_str(), a.size)).collect();
        assert_eq!(names, [("terms.pdf", "a == 1", 7), ("Terms {{ country }}.pdf", "a == 1", 7)]);
        let missing = attachments(&definition, &[]).unwrap_err();
        assert_eq!((missing.len(), missing[0].part.as_str()), (2, "attachments"));
    }

    #[test]
    fn utm_parameters_have_their_prefix_once() {
        assert_eq!((utm_name("source"), utm_name("utm_source")), ("utm_source".into(), "utm_source".into()));
    }
}
