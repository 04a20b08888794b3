//! What an author says of a delivery: the same keys in `delivery.toml`, in REST's JSON and in the database.
//!
//! Keys whose feature does not exist yet are part of the format: they are accepted with their default
//! and refused with any other value, so that no delivery is sent differently from what its author wrote.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::folder::Refusal;

/// A delivery's parameters. Field names and defaults are those of `delivery.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Name shown to operators, never to recipients. May be a template.
    pub label: String,
    /// Delivery code, for reports and links. May be a template.
    #[serde(default)]
    pub code: String,
    /// Name of the delivery template to start from (later).
    #[serde(default)]
    pub template: String,
    /// Subject, a template.
    #[serde(default)]
    pub subject: String,
    /// Text that mail clients show after the subject, a template.
    #[serde(default)]
    pub preheader: String,
    /// Who sends.
    #[serde(default)]
    pub sender: Sender,
    /// Who receives.
    #[serde(default)]
    pub target: Target,
    /// Defaults of the proof form.
    #[serde(default)]
    pub proof: Proof,
    /// Files of the folder, and how the content is treated.
    #[serde(default)]
    pub content: Content,
    /// How it is sent.
    #[serde(default)]
    pub parameters: Parameters,
    /// Opens and clicks (later).
    #[serde(default)]
    pub tracking: Tracking,
    /// Contact date (later).
    #[serde(default)]
    pub schedule: Schedule,
    /// Waves (later).
    #[serde(default)]
    pub waves: Option<Waves>,
    /// Approval and typology (later).
    #[serde(default)]
    pub validation: Validation,
}

/// `[sender]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sender {
    /// Display name, a template. Empty: the instance's default.
    pub name: String,
    /// Address, a template. Empty: the instance's default.
    pub address: String,
    /// `address` or `Name <address>`, a template. Empty: the instance's default, else the sender's address.
    pub reply_to: String,
    /// Empty: a signed return path per message.
    pub error_address: String,
    /// Where bounces go that nothing could qualify (later).
    pub unqualified_bounces_to: String,
}

/// `[target]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Everybody in any of these …
    pub include: Vec<TargetItem>,
    /// … and in none of these.
    pub exclude: Vec<TargetItem>,
    /// At most so many messages, chosen at random; 0: no limit.
    pub limit: u64,
    /// Send once per address.
    pub exclude_duplicates: bool,
    /// Leave out who does not want to be contacted.
    pub exclude_denylisted: bool,
    /// Leave out addresses that bounced.
    pub exclude_quarantined: bool,
    /// Send the real delivery to the proof's target too (later).
    pub include_proof_target: bool,
    /// Seed lists (later).
    pub seeds: Vec<String>,
    /// Part of the target that is not contacted (later).
    pub control_group: ControlGroup,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            include: Vec::new(),
            exclude: Vec::new(),
            limit: 0,
            exclude_duplicates: true,
            exclude_denylisted: true,
            exclude_quarantined: true,
            include_proof_target: false,
            seeds: Vec::new(),
            control_group: ControlGroup::default(),
        }
    }
}

/// One element of a target. Exactly one of the sources is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetItem {
    /// Name of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// Name of a saved segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// A filter tree of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<serde_json::Value>,
    /// One recipient's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Subscribers of a service (later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Recipients of another delivery (later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients_of: Option<String>,
    /// With `recipients_of` (later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// An external file (later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// With `file` (later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<bool>,
    /// Take everybody outside (later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<bool>,
}

/// `control_group = { size = "0%", method = "random" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlGroup {
    /// A number or a percentage.
    pub size: String,
    /// `random`, or `first` after a sort.
    pub method: String,
}

impl Default for ControlGroup {
    fn default() -> Self {
        ControlGroup { size: "0%".into(), method: "random".into() }
    }
}

/// `[proof]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// `substitution` or `recipients`; `seeds` and `recipients_and_seeds` come later.
    pub mode: String,
    /// With `substitution`: who reads, and as whom.
    pub addresses: Vec<Substitution>,
    /// With `recipients`: addresses of recipients.
    pub recipients: Vec<String>,
    /// First word of the label and the subject.
    pub prefix: String,
    /// Formats to send to each reader; only 1 yet.
    pub variants: u32,
    /// Send to an address as often as it is named.
    pub keep_duplicates: bool,
    /// Send to those who do not want to be contacted.
    pub keep_denylisted: bool,
    /// Send to addresses in quarantine.
    pub keep_quarantined: bool,
    /// Keep the delivery code (later).
    pub keep_code: bool,
}

impl Default for Proof {
    fn default() -> Self {
        Proof {
            mode: "substitution".into(),
            addresses: Vec::new(),
            recipients: Vec::new(),
            prefix: "Proof".into(),
            variants: 1,
            keep_duplicates: true,
            keep_denylisted: true,
            keep_quarantined: true,
            keep_code: false,
        }
    }
}

/// One reader of a proof by substitution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Substitution {
    /// Where the proof goes.
    pub to: String,
    /// Whose profile personalises it: an address of the target, or `random`.
    #[serde(rename = "as", default = "random")]
    pub profile: String,
}

fn random() -> String {
    "random".into()
}

/// `[content]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// HTML file of the folder.
    pub html: String,
    /// Text file of the folder.
    pub text: String,
    /// MJML file (later).
    pub mjml: String,
    /// AMP file (later).
    pub amp: String,
    /// CSS inlining (later).
    pub inline_css: bool,
    /// `link`; `inline` comes later.
    pub images: String,
    /// Evaluate the templates; `false` comes later.
    pub personalise: bool,
    /// Attachments (later).
    pub attachments: Vec<serde_json::Value>,
}

impl Default for Content {
    fn default() -> Self {
        Content {
            html: "content.html".into(),
            text: "content.txt".into(),
            mjml: String::new(),
            amp: String::new(),
            inline_css: true,
            images: "link".into(),
            personalise: true,
            attachments: Vec::new(),
        }
    }
}

/// `[parameters]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// `recipient`: each gets the format that the profile asks for.
    pub format: String,
    /// Only `utf-8` yet.
    pub encoding: String,
    /// Mirror page (later).
    pub mirror_page: String,
    /// BCC archive (later).
    pub bcc: bool,
    /// very_low, low, normal, high, very_high.
    pub priority: String,
    /// Messages per part; 0: clamp(messages / 1024, 8, 256).
    pub part_size: u64,
    /// Pool of sources (later).
    pub pool: String,
    /// Stop after RCPT (later).
    pub test_smtp: bool,
    /// Time limit of personalisation at analysis and preview.
    pub personalization_time: String,
    /// Retries in the first day.
    pub retries: u32,
    /// Wait between them.
    pub retry_period: String,
    /// How long messages are tried.
    pub validity: String,
    /// … or until when, `YYYY-MM-DDTHH:MM` in UTC.
    pub valid_until: String,
    /// How long mirror pages and images live (later).
    pub resource_validity: String,
    /// Additional headers (later).
    pub headers: BTreeMap<String, String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            format: "recipient".into(),
            encoding: "utf-8".into(),
            mirror_page: "when_linked".into(),
            bcc: false,
            priority: "normal".into(),
            part_size: 0,
            pool: "default".into(),
            test_smtp: false,
            personalization_time: "5s".into(),
            retries: 5,
            retry_period: "1h".into(),
            validity: "5d".into(),
            valid_until: String::new(),
            resource_validity: "60d".into(),
            headers: BTreeMap::new(),
        }
    }
}

/// `[tracking]` (later).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    /// Count opens.
    pub opens: bool,
    /// Count clicks.
    pub clicks: bool,
    /// Choices per link.
    pub links: Vec<serde_json::Value>,
    /// UTM parameters.
    pub utm: BTreeMap<String, String>,
}

impl Default for Tracking {
    fn default() -> Self {
        Tracking { opens: true, clicks: true, links: Vec::new(), utm: BTreeMap::new() }
    }
}

/// `[schedule]` (later).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Empty: as soon as possible.
    pub contact_date: String,
    /// IANA zone of the dates above.
    pub time_zone: String,
    /// Send at each recipient's own time.
    pub recipient_time_zone: bool,
    /// `21:00-08:00`.
    pub quiet_hours: String,
    /// `false`: provisional.
    pub automatic: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            contact_date: String::new(),
            time_zone: "UTC".into(),
            recipient_time_zone: false,
            quiet_hours: String::new(),
            automatic: true,
        }
    }
}

/// `[waves]` (later; absent is the only default).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waves {
    #[serde(flatten)]
    keys: BTreeMap<String, serde_json::Value>,
}

/// `[validation]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Only `manual` yet.
    pub approval: String,
    /// Only `default` yet.
    pub typology: String,
    /// Later.
    pub approvers: Vec<String>,
}

impl Default for Validation {
    fn default() -> Self {
        Validation { approval: "manual".into(), typology: "default".into(), approvers: Vec::new() }
    }
}

/// Most elements that a target may include or exclude: the SQL stays readable, and bound.
pub const TARGET_ITEMS_MAX: usize = 100;
/// Longest subject, label, code or preheader template, in bytes.
pub const SHORT_TEMPLATE_LEN_MAX: usize = 4_096;

impl Definition {
    /// A definition with everything at its default.
    pub fn new(label: &str) -> Definition {
        Definition {
            label: label.to_owned(),
            code: String::new(),
            template: String::new(),
            subject: String::new(),
            preheader: String::new(),
            sender: Sender::default(),
            target: Target::default(),
            proof: Proof::default(),
            content: Content::default(),
            parameters: Parameters::default(),
            tracking: Tracking::default(),
            schedule: Schedule::default(),
            waves: None,
            validation: Validation::default(),
        }
    }

    /// Refuses keys whose feature comes later (unless at their default), and values outside their range.
    pub fn check(&self) -> Result<(), Refusal> {
        self.check_not_yet()?;
        self.check_target()?;
        self.check_values()
    }

    fn check_not_yet(&self) -> Result<(), Refusal> {
        let default = Definition::new("");
        let table: &[(&str, bool)] = &[
            ("template", self.template == default.template),
            ("sender.unqualified_bounces_to", self.sender.unqualified_bounces_to.is_empty()),
            ("target.include_proof_target", !self.target.include_proof_target),
            ("target.seeds", self.target.seeds.is_empty()),
            ("target.control_group", is_zero(&self.target.control_group.size)),
            ("proof.variants", self.proof.variants == 1),
            ("proof.keep_code", !self.proof.keep_code),
            ("content.mjml", self.content.mjml.is_empty()),
            ("content.amp", self.content.amp.is_empty()),
            ("content.inline_css", self.content.inline_css),
            ("content.images", self.content.images == "link"),
            ("content.personalise", self.content.personalise),
            ("content.attachments", self.content.attachments.is_empty()),
            ("parameters.format", self.parameters.format == "recipient"),
            ("parameters.encoding", self.parameters.encoding.eq_ignore_ascii_case("utf-8")),
            ("parameters.mirror_page", self.parameters.mirror_page == "when_linked"),
            ("parameters.bcc", !self.parameters.bcc),
            ("parameters.pool", self.parameters.pool == "default"),
            ("parameters.test_smtp", !self.parameters.test_smtp),
            ("parameters.personalization_time", self.parameters.personalization_time == "5s"),
            ("parameters.resource_validity", self.parameters.resource_validity == "60d"),
            ("parameters.headers", self.parameters.headers.is_empty()),
            ("tracking.opens", self.tracking.opens),
            ("tracking.clicks", self.tracking.clicks),
            ("tracking.links", self.tracking.links.is_empty()),
            ("tracking.utm", self.tracking.utm.is_empty()),
            ("schedule.contact_date", self.schedule.contact_date.is_empty()),
            ("schedule.time_zone", self.schedule.time_zone == "UTC"),
            ("schedule.recipient_time_zone", !self.schedule.recipient_time_zone),
            ("schedule.quiet_hours", self.schedule.quiet_hours.is_empty()),
            ("schedule.automatic", self.schedule.automatic),
            ("waves", self.waves.is_none()),
            ("validation.approval", self.validation.approval == "manual"),
            ("validation.typology", self.validation.typology == "default"),
            ("validation.approvers", self.validation.approvers.is_empty()),
        ];
        match table.iter().find(|(_, at_default)| !at_default) {
            Some((key, _)) => Err(Refusal::not_yet(key)),
            None => Ok(()),
        }
    }

    fn check_target(&self) -> Result<(), Refusal> {
        for (field, items) in
            [("target.include", &self.target.include), ("target.exclude", &self.target.exclude)]
        {
            if items.len() > TARGET_ITEMS_MAX {
                return Err(Refusal::new(field, format!("has more than {TARGET_ITEMS_MAX} elements")));
            }
            for item in items {
                item.check(field)?;
            }
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), Refusal> {
        if self.label.trim().is_empty() {
            return Err(Refusal::new(
                "label",
                "is missing: give the delivery a name that operators will know",
            ));
        }
        let short = [
            ("label", &self.label),
            ("code", &self.code),
            ("subject", &self.subject),
            ("preheader", &self.preheader),
            ("sender.name", &self.sender.name),
            ("sender.address", &self.sender.address),
            ("sender.reply_to", &self.sender.reply_to),
            ("sender.error_address", &self.sender.error_address),
        ];
        if let Some((field, _)) = short.iter().find(|(_, value)| value.len() > SHORT_TEMPLATE_LEN_MAX) {
            return Err(Refusal::new(field, format!("is longer than {SHORT_TEMPLATE_LEN_MAX} bytes")));
        }
        if crate::parameters::priority(&self.parameters.priority).is_none() {
            return Err(Refusal::new(
                "parameters.priority",
                "is none of very_low, low, normal, high, very_high",
            ));
        }
        if !matches!(self.proof.mode.as_str(), "substitution" | "recipients") {
            return Err(match self.proof.mode.as_str() {
                "seeds" | "recipients_and_seeds" => Refusal::not_yet("proof.mode"),
                _ => Refusal::new("proof.mode", "is neither substitution nor recipients"),
            });
        }
        crate::parameters::Sending::of(&self.parameters, 0).map(drop)
    }
}

fn is_zero(size: &str) -> bool {
    matches!(size.trim(), "" | "0" | "0%")
}

impl TargetItem {
    /// An element that takes a list.
    pub fn list(name: &str) -> TargetItem {
        TargetItem { list: Some(name.to_owned()), ..TargetItem::default() }
    }

    /// An element that takes a saved segment.
    pub fn segment(name: &str) -> TargetItem {
        TargetItem { segment: Some(name.to_owned()), ..TargetItem::default() }
    }

    fn check(&self, field: &str) -> Result<(), Refusal> {
        let later = [
            ("service", self.service.is_some()),
            ("recipients_of", self.recipients_of.is_some()),
            ("who", self.who.is_some()),
            ("file", self.file.is_some()),
            ("import", self.import.is_some()),
            ("not", self.not == Some(true)),
        ];
        if let Some((key, _)) = later.iter().find(|(_, set)| *set) {
            return Err(Refusal::not_yet_in(field, key));
        }
        let set =
            [self.list.is_some(), self.segment.is_some(), self.filter.is_some(), self.recipient.is_some()]
                .iter()
                .filter(|set| **set)
                .count();
        match set {
            1 => Ok(()),
            _ => Err(Refusal::new(
                field,
                "has an element that names not exactly one of list, segment, filter, recipient",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_once_there_is_a_label() {
        assert!(Definition::new("October").check().is_ok());
        assert_eq!(Definition::new(" ").check().unwrap_err().field, "label");
    }

    #[test]
    fn what_comes_later_is_refused_by_name() {
        let mut definition = Definition::new("October");
        definition.parameters.bcc = true;
        let refusal = definition.check().unwrap_err();
        assert_eq!(refusal.field, "parameters.bcc");
        assert!(refusal.text.contains("not yet supported"), "{}", refusal.text);

        let mut definition = Definition::new("October");
        definition
            .target
            .include
            .push(TargetItem { service: Some("weekly".into()), ..TargetItem::default() });
        assert_eq!(definition.check().unwrap_err().field, "target.include");
    }

    #[test]
    fn json_round_trip_keeps_everything() {
        let mut definition = Definition::new("October");
        definition.target.include = vec![TargetItem::list("newsletter"), TargetItem::segment("gold")];
        definition.proof.addresses =
            vec![Substitution { to: "boss@shop.example".into(), profile: "random".into() }];
        let text = serde_json::to_string(&definition).unwrap();
        assert_eq!(serde_json::from_str::<Definition>(&text).unwrap(), definition);
    }
}
