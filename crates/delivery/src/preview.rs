//! A preview: the content as one recipient would get it. No row is written, nothing is signed, and its links act
//! on nobody.

use std::time::Duration;

use audience::Recipient;
use content::{CompileOptions, Fields, PreviewFor, PreviewParts};

use crate::definition::Definition;
use crate::folder::Refusal;
use crate::types::{DeliveryId, Error, Result, Sources};
use crate::{Deliveries, ab};

/// Whose preview it is when the audience has nobody.
const SAMPLE_ADDRESS: &str = "alex@example.com";

/// What compiling a large content may take beside the personalisation itself.
const COMPILE_TIME: Duration = Duration::from_secs(20);

/// Words of `format` in a preview.
pub const FORMATS: [&str; 7] = ["", "alternative", "text", "html", "docomo", "softbank", "au"];

impl Deliveries {
    /// The saved content as `recipient` would get it (an address of the audience; none: the first of the target,
    /// or sample values when the audience is empty). `format` is a word of the profile's `email_format` (text, html,
    /// docomo, softbank, au), `alternative`, or empty: as the recipient gets it. [`Error::Content`] with every problem and its place.
    pub async fn preview(
        &self,
        id: DeliveryId,
        recipient: Option<&str>,
        format: &str,
    ) -> Result<PreviewParts> {
        let delivery = self.get(id).await?;
        self.preview_content(&delivery.definition, &delivery.sources(), id, recipient, format).await
    }

    /// The same in a variant of its A/B test, `A` to `D`; empty: A, the delivery's own content.
    pub async fn preview_variant(
        &self,
        id: DeliveryId,
        variant: &str,
        recipient: Option<&str>,
        format: &str,
    ) -> Result<PreviewParts> {
        let delivery = self.get(id).await?;
        let number = match variant.trim() {
            "" => Some(0),
            name => ab::variant_named(name).filter(|number| *number < ab::contents(&delivery.definition)),
        };
        let unknown = || Refusal::new("variant", format!("{variant:?} is no variant of this delivery"));
        let (definition, sources) =
            ab::variant(&delivery.definition, &delivery.sources(), number.ok_or_else(unknown)?);
        self.preview_content(&definition, &sources, id, recipient, format).await
    }

    /// The same for an edit that is not saved; `id` names the delivery whose files it uses, 0: none.
    pub async fn preview_content(
        &self,
        definition: &Definition,
        sources: &Sources,
        id: DeliveryId,
        recipient: Option<&str>,
        format: &str,
    ) -> Result<PreviewParts> {
        let files = if id == 0 { Vec::new() } else { self.assets(id).await? };
        let draft = self.draft_of(definition, sources, &files).map_err(Error::Content)?;
        let options = CompileOptions { delivery: 0, ..self.compile_options(id, definition, 0, true).await? };
        let found = self.preview_recipient(definition, recipient).await?;
        let (time_us, keys) = (self.now_us(), self.rooms.tokens.clone());
        let limit = Duration::from_millis(options.personalization_time_ms) + COMPILE_TIME;
        if !FORMATS.contains(&format) {
            return Err(Refusal::new("format", format!("is none of {}", FORMATS[1..].join(", "))).into());
        }
        let (format, content) = (format.to_owned(), self.rooms.content.clone());
        let runtime = tokio::runtime::Handle::current();
        let render = move || {
            let fields = fields_of(found.as_ref());
            let written = found.as_ref().map_or(SAMPLE_ADDRESS, |recipient| &recipient.email);
            let address =
                address::parse(written).map_or_else(|_| SAMPLE_ADDRESS.to_owned(), |mailbox| mailbox.smtp());
            let own = found.as_ref().map_or("", |recipient| &recipient.email_format);
            let email_format = if format.is_empty() { own } else { &format };
            let whom = PreviewFor { address: &address, email_format, time_us };
            // What goes along is known once the content is compiled; this thread may wait for it.
            let bytes =
                |hash: &str| runtime.block_on(content.asset(hash)).ok().flatten().map(|found| found.bytes);
            content::preview(&draft, &options, &fields, whom, &keys, &bytes)
        };
        // The thread ends by its fuel; the author hears of it before.
        match tokio::time::timeout(limit, tokio::task::spawn_blocking(render)).await {
            Ok(done) => done
                .map_err(|panic| Error::Internal(format!("the preview panicked: {panic}")))?
                .map_err(Error::Content),
            Err(_) => {
                let text = format!(
                    "personalisation takes longer than {}",
                    definition.parameters.personalization_time
                );
                let hint = "simplify its loops, or raise parameters.personalization_time";
                Err(Error::Content(vec![content::Problem::new("message", text).hint(hint)]))
            }
        }
    }

    async fn preview_recipient(
        &self,
        definition: &Definition,
        address: Option<&str>,
    ) -> Result<Option<Recipient>> {
        if let Some(address) = address {
            let found = self.rooms.audience.recipient_by_address(address).await?;
            return match found {
                Some(recipient) => Ok(Some(recipient)),
                None => Err(Refusal::new("recipient", "is nobody of the audience").into()),
            };
        }
        // A target that names nothing yet, or a list that is gone, is no reason to show no preview.
        let sample = self.sample_target(&definition.target, 1).await.unwrap_or_default();
        Ok(sample.into_iter().next())
    }
}

fn fields_of(recipient: Option<&Recipient>) -> Fields {
    let Some(recipient) = recipient else {
        return Fields::from_pairs([
            ("email", SAMPLE_ADDRESS),
            ("first_name", "Alex"),
            ("last_name", "Example"),
            ("language", "en"),
            ("time_zone", "UTC"),
            ("country", "GB"),
            ("city", "London"),
            ("email_format", ""),
        ]);
    };
    let own = [
        ("email", &recipient.email),
        ("first_name", &recipient.first_name),
        ("last_name", &recipient.last_name),
        ("language", &recipient.language),
        ("time_zone", &recipient.time_zone),
        ("country", &recipient.country),
        ("city", &recipient.city),
        ("email_format", &recipient.email_format),
    ];
    let attributes = recipient.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Fields::from_pairs(own.into_iter().map(|(name, value)| (name, value.as_str())).chain(attributes))
}
