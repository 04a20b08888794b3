//! What an author says of a delivery: the same keys in `delivery.toml`, in REST's JSON and in the database.
//!
//! Keys whose feature does not exist yet are part of the format: they are accepted with their default
//! and refused with any other value, so that no delivery is sent differently from what its author wrote.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A delivery's parameters. Field names and defaults are those of `delivery.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Name shown to operators, never to recipients. May be a template.
    pub label: String,
    /// Delivery code, for reports and links. May be a template.
    #[serde(default)]
    pub code: String,
    /// Name of the delivery template that it started from; what the author wrote stands over it.
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
    /// Opens, clicks, and what becomes of each link.
    #[serde(default)]
    pub tracking: Tracking,
    /// When it is sent.
    #[serde(default)]
    pub schedule: Schedule,
    /// Waves; absent: all at once.
    #[serde(default)]
    pub waves: Option<Waves>,
    /// A/B test; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ab: Option<AbTest>,
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
    /// Return path of all messages, a template. Empty: the instance's default, else a signed one per message.
    pub error_address: String,
    /// Where bounces go that nothing could qualify; empty: the instance's own.
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
    /// Chooses those whom the limit and a random control group take; absent: another choice for each delivery. The same
    /// number over the same recipients chooses the same ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Send once per address.
    pub exclude_duplicates: bool,
    /// With `exclude_duplicates = false`: a recipient whom several elements of the target name gets a message for each.
    pub keep_same_recipient: bool,
    /// Leave out who does not want to be contacted.
    pub exclude_denylisted: bool,
    /// Leave out addresses that bounced.
    pub exclude_quarantined: bool,
    /// Send the real delivery to the proof's target too.
    pub include_proof_target: bool,
    /// Names of seed groups.
    pub seeds: Vec<String>,
    /// Part of the target that is not contacted.
    pub control_group: ControlGroup,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            include: Vec::new(),
            exclude: Vec::new(),
            limit: 0,
            seed: None,
            exclude_duplicates: true,
            keep_same_recipient: false,
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
    /// Subscribers of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Recipients of another delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients_of: Option<String>,
    /// With `recipients_of`: `all`, `sent`, `failed`, `opened`, `clicked`, `not_opened` or `not_clicked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// An external file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// With `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<bool>,
    /// Take everybody outside.
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
    /// With `first`: the field that is sorted by.
    pub sort: String,
    /// A list whose members are the control group instead.
    pub list: String,
}

impl Default for ControlGroup {
    fn default() -> Self {
        ControlGroup { size: "0%".into(), method: "random".into(), sort: String::new(), list: String::new() }
    }
}

/// `[proof]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// `substitution`, `recipients`, `seeds` or `recipients_and_seeds`.
    pub mode: String,
    /// With `substitution`: who reads, and as whom.
    pub addresses: Vec<Substitution>,
    /// With `recipients`: addresses of recipients.
    pub recipients: Vec<String>,
    /// With `seeds`: names of seed groups; empty: those of the target.
    pub seeds: Vec<String>,
    /// First word of the label and the subject.
    pub prefix: String,
    /// Messages to each reader: 1; 2: text and alternative; 3: text, HTML and alternative.
    pub variants: u32,
    /// Send to an address as often as it is named.
    pub keep_duplicates: bool,
    /// Send to those who do not want to be contacted.
    pub keep_denylisted: bool,
    /// Send to addresses in quarantine.
    pub keep_quarantined: bool,
    /// Keep the delivery code.
    pub keep_code: bool,
}

impl Default for Proof {
    fn default() -> Self {
        Proof {
            mode: "substitution".into(),
            addresses: Vec::new(),
            recipients: Vec::new(),
            seeds: Vec::new(),
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
    /// MJML file of the folder, instead of the HTML file.
    pub mjml: String,
    /// AMP file of the folder.
    pub amp: String,
    /// Write the style sheet into the tags' own styles, for mail programs that drop it.
    pub inline_css: bool,
    /// `link`: images have a public URL; `inline`: they travel with the message.
    pub images: String,
    /// Images that travel with the message although `images` is `link`: names of files, or URLs.
    pub inline_images: Vec<String>,
    /// Evaluate the templates; `false` sends their marks as they are written.
    pub personalise: bool,
    /// Files that travel with the message.
    pub attachments: Vec<Attachment>,
}

/// `{ file = "terms.pdf", name = "Terms {{ country }}.pdf", when = "country == 'DE'" }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// File of the folder, or of the delivery's files.
    pub file: String,
    /// Name that the recipient sees, a template; empty: the file's own name.
    #[serde(default)]
    pub name: String,
    /// Who gets it: an expression over the recipient's fields; empty: everybody.
    #[serde(default)]
    pub when: String,
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
            inline_images: Vec::new(),
            personalise: true,
            attachments: Vec::new(),
        }
    }
}

/// `[parameters]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// `recipient`: each gets the format that the profile asks for; `alternative`: both parts; `text`: text alone.
    pub format: String,
    /// Charset of the messages; `utf-8` unless a receiver cannot read it.
    pub encoding: String,
    /// `when_linked`, `always`, `never`, or `by_message`: operators alone, from the log.
    pub mirror_page: String,
    /// Archive a copy of each message that was sent.
    pub bcc: bool,
    /// very_low, low, normal, high, very_high.
    pub priority: String,
    /// Messages per part; 0: clamp(messages / 1024, 8, 256).
    pub part_size: u64,
    /// Pool of sources; `default`: the typology's, if it names one.
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
    /// How long mirror pages and images live after Confirm.
    pub resource_validity: String,
    /// Additional headers; the values are templates.
    pub headers: BTreeMap<String, String>,
    /// Header Precedence: `bulk`, `list`, or empty for none.
    pub precedence: String,
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
            precedence: String::new(),
        }
    }
}

/// `[tracking]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    /// Count opens.
    pub opens: bool,
    /// Count clicks.
    pub clicks: bool,
    /// Choices per link.
    pub links: Vec<LinkChoice>,
    /// Parameters added to each tracked link: `{ source = "newsletter" }` adds `utm_source=newsletter`.
    pub utm: BTreeMap<String, String>,
}

/// What becomes of a link. Links that are not listed are tracked, labelled by their text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkChoice {
    /// The URL as the content has it.
    pub url: String,
    /// Name in reports; empty: the link's text.
    #[serde(default)]
    pub label: String,
    /// Group in reports.
    #[serde(default)]
    pub category: String,
    /// `tracked`, `untracked`, `opt_out` or `mirror`.
    #[serde(default = "tracked")]
    pub mode: String,
}

fn tracked() -> String {
    "tracked".into()
}

impl Default for Tracking {
    fn default() -> Self {
        Tracking { opens: true, clicks: true, links: Vec::new(), utm: BTreeMap::new() }
    }
}

/// `[schedule]`.
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
    /// `false`: provisional; analysed on the date, not sent.
    pub automatic: bool,
    /// How late sending may begin by itself when the server was down at the contact date; later it asks first.
    pub grace: String,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            contact_date: String::new(),
            time_zone: "UTC".into(),
            recipient_time_zone: false,
            quiet_hours: String::new(),
            automatic: true,
            grace: "1h".into(),
        }
    }
}

/// `[waves]`; absent: all at once. Either equal waves (`size`, `period`) or a `calendar`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Waves {
    /// Messages of each wave, a number or a percentage; the last takes the rest.
    pub size: String,
    /// From the start of one wave to the start of the next.
    pub period: String,
    /// Waves one by one instead.
    pub calendar: Vec<WaveLine>,
    /// When to hold.
    pub brake: Brake,
}

/// One wave of a calendar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveLine {
    /// Delay after the start of the previous wave; of the first: after the contact date.
    pub start: String,
    /// Messages, a number or a percentage of the whole delivery.
    pub size: String,
}

/// Shares of the answered messages past which a delivery pauses. Empty: no brake of that kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Brake {
    /// Hard bounces, `5%`.
    pub hard_bounces: String,
    /// Complaints, `0.3%`.
    pub complaints: String,
    /// Deferrals, `50%`.
    pub deferrals: String,
}

/// `[validation]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// `manual`, `semi_automatic` (starts when the analysis warned of nothing) or `automatic`.
    pub approval: String,
    /// Name of the typology.
    pub typology: String,
    /// Accounts that approve content and target.
    pub approvers: Vec<String>,
    /// Accounts that approve the content only.
    pub content_approvers: Vec<String>,
    /// Accounts that approve the target only.
    pub target_approvers: Vec<String>,
    /// Approvals needed of each group; more than it has members: all of them.
    pub approvals_needed: u32,
    /// Time given to approvers; they are reminded when half of it is over.
    pub approval_deadline: String,
    /// Accounts that may confirm beside the owner and administrators.
    pub reviewers: Vec<String>,
    /// Weight in pressure rules; absent: that of the typology.
    pub weight: Option<u32>,
    /// Analyse in the hours of low activity.
    pub low_activity: bool,
    /// Rank among analyses that wait: `low`, `normal` or `high`.
    pub analysis_priority: String,
}

impl Default for Validation {
    fn default() -> Self {
        Validation {
            approval: "manual".into(),
            typology: "default".into(),
            approvers: Vec::new(),
            content_approvers: Vec::new(),
            target_approvers: Vec::new(),
            approvals_needed: 1,
            approval_deadline: "3d".into(),
            reviewers: Vec::new(),
            weight: None,
            low_activity: false,
            analysis_priority: "normal".into(),
        }
    }
}

/// `[ab]`: variants of subject, sender or content on a sample; the rest gets the winner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AbTest {
    /// Messages of the sample, all variants together: a number or a percentage.
    pub sample: String,
    /// `opens`, `clicks` or `manual`.
    pub winner: String,
    /// From the start of sending to the choice.
    pub after: String,
    /// Variants beside the delivery's own content, which is the first: one to three.
    pub variants: Vec<AbVariant>,
}

impl Default for AbTest {
    fn default() -> Self {
        AbTest { sample: "20%".into(), winner: "opens".into(), after: "4h".into(), variants: Vec::new() }
    }
}

/// What a variant says instead; empty: as the delivery says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AbVariant {
    /// Subject.
    pub subject: String,
    /// Sender's name.
    pub sender_name: String,
    /// Sender's address.
    pub sender_address: String,
    /// HTML source itself (pushed from the file that the folder names).
    pub html: String,
    /// Text source itself.
    pub text: String,
}

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
            ab: None,
            validation: Validation::default(),
        }
    }

    /// True when nothing is said of how the content is built.
    pub(crate) fn has_plain_content(&self) -> bool {
        let built = |d: &Definition| {
            (
                d.content.clone(),
                d.parameters.format.clone(),
                d.parameters.encoding.to_ascii_lowercase(),
                d.parameters.headers.clone(),
                d.tracking.clone(),
            )
        };
        built(self) == built(&Definition::new(""))
    }
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
