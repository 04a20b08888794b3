//! What an author gives, and what a delivery adds.

use std::collections::BTreeMap;

use message::{Charset, LinkMode, MirrorMode};
use serde::{Deserialize, Serialize};

use crate::assets::NamedAsset;
use crate::blocks::Block;
use crate::codes::CodeKey;
use crate::format_rules::FormatRule;

/// The author's content. Every text field may be a template. [`Draft::default`] rewrites nothing: no tracking, no
/// CSS inlining, images by their URLs, marks of templates evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Sender's display name; may be empty.
    pub from_name: String,
    /// Sender's address.
    pub from_address: String,
    /// `address` or `Name <address>`; empty: no Reply-To, so replies go to the sender.
    pub reply_to: String,
    /// Envelope sender for all messages; empty: a signed return path per message.
    pub error_address: String,
    /// Subject.
    pub subject: String,
    /// Text that inboxes show after the subject; put hidden at the start of the HTML. May be empty.
    pub preheader: String,
    /// HTML body. A delivery without it is text only.
    pub html: Option<String>,
    /// MJML source of the HTML body; not together with `html`.
    pub mjml: Option<String>,
    /// Text body; made from the HTML when absent.
    pub text: Option<String>,
    /// AMP part (AMP4EMAIL), only together with HTML or text.
    pub amp: Option<String>,
    /// Headers to add, name and value; values are templates. A message whose value comes out empty has no such header.
    pub headers: Vec<(String, String)>,
    /// Value of the header Precedence: `bulk`, `list`, or empty for none.
    pub precedence: String,
    /// Copies the rules of `<style>` to the elements they match.
    pub inline_css: bool,
    /// False: template marks are sent literally.
    pub personalise: bool,
    /// How the HTML's images go along.
    pub image_mode: ImageChoice,
    /// Images that go inline although `image_mode` says link: names of assets, or URLs as written.
    pub image_inline: Vec<String>,
    /// What the author chose for links, by URL as written.
    pub link_choices: Vec<LinkChoice>,
    /// Query parameters that every http(s) link gets (`utm_source` …); values may be templates.
    pub utm: BTreeMap<String, String>,
    /// Rewrites links to signed redirects.
    pub track_clicks: bool,
    /// Puts the open pixel into the HTML.
    pub track_opens: bool,
    /// When the mirror page exists.
    pub mirror: MirrorMode,
    /// Files that go along.
    pub attachments: Vec<AttachmentDraft>,
    /// Charset of all messages; carriers and format rules have their own.
    pub encoding: Charset,
    /// Structure of the messages.
    pub format: FormatChoice,
}

impl Default for Draft {
    fn default() -> Draft {
        Draft {
            from_name: String::new(),
            from_address: String::new(),
            reply_to: String::new(),
            error_address: String::new(),
            subject: String::new(),
            preheader: String::new(),
            html: None,
            mjml: None,
            text: None,
            amp: None,
            headers: Vec::new(),
            precedence: String::new(),
            inline_css: false,
            personalise: true,
            image_mode: ImageChoice::Link,
            image_inline: Vec::new(),
            link_choices: Vec::new(),
            utm: BTreeMap::new(),
            track_clicks: false,
            track_opens: false,
            mirror: MirrorMode::default(),
            attachments: Vec::new(),
            encoding: Charset::UTF_8,
            format: FormatChoice::Recipient,
        }
    }
}

/// How images go along with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageChoice {
    /// By a public URL.
    #[default]
    Link,
    /// In the message itself (multipart/related).
    Inline,
}

/// The structure that a delivery chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormatChoice {
    /// What each recipient wants: text, HTML, both where unknown.
    #[default]
    Recipient,
    /// multipart/alternative for everybody.
    Alternative,
    /// Text for everybody; the HTML feeds the mirror page alone.
    Text,
}

/// An author's choice for a link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkChoice {
    /// The URL as written in the content, template tags and all.
    pub url: String,
    /// Name in reports; empty: what the link shows.
    #[serde(default)]
    pub label: String,
    /// Category in reports; may be empty.
    #[serde(default)]
    pub category: String,
    /// What becomes of it.
    #[serde(default)]
    pub mode: LinkMode,
}

/// A file to send along.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttachmentDraft {
    /// BLAKE3 of its bytes, hex.
    pub hash: String,
    /// `application/pdf`.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// File name that the recipient sees; a template.
    pub name: String,
    /// Expression that says who gets it (`country == 'DE'`); empty: everybody.
    pub when: String,
}

/// What only proofs carry: where their readers accept or reject them. All three are templates of ours; their fields are
/// given like a recipient's. A link in them is not tracked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Banner {
    /// Stands at the start of the HTML body, behind the preheader.
    pub html: String,
    /// Stands at the start of the text body.
    pub text: String,
    /// An added header: name, value.
    pub header: (String, String),
}

/// What the delivery knows at compile time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompileOptions {
    /// The delivery's number.
    pub delivery: i64,
    /// A proof or a preview: tokens act on nobody.
    pub inert: bool,
    /// Stands before the subject, `Proof #3: `; empty for the delivery itself.
    pub subject_prefix: String,
    /// Base of the links that we serve.
    pub public_url: String,
    /// Domain of the signed return paths.
    pub bounce_domain: String,
    /// Domain of Message-IDs; empty: the domain of the sender's address, where that is no template.
    pub message_id_domain: String,
    /// Writes List-Unsubscribe with one-click POST.
    pub list_unsubscribe: bool,
    /// Value of Feedback-ID, or empty.
    pub feedback_id: String,
    /// What `now()` says, microseconds UTC.
    pub now_us: i64,
    /// Attributes that some recipient has: in a recipient without them they are empty rather than unknown.
    pub attributes: Vec<String>,
    /// Reusable blocks by name.
    pub blocks: BTreeMap<String, Block>,
    /// Uploaded files that the content may name.
    pub assets: Vec<NamedAsset>,
    /// Formats by domain, before the ones that are built in ([`crate::native_rules`]); the first match counts.
    pub format_rules: Vec<FormatRule>,
    /// Signs the addresses of QR and bar codes; none: all codes go along with the message.
    pub code_key: Option<CodeKey>,
    /// What a proof says of itself; none: nothing, as in the delivery.
    pub banner: Option<Banner>,
    /// Longest time that the evaluation of one message may take, milliseconds; 0: no limit but the fuel.
    pub personalization_time_ms: u64,
}
