//! A preview: the content as one recipient would get it. No row is written, nothing is signed, and its links act
//! on nobody.

use audience::Recipient;
use content::{Fields, PreviewFor, PreviewParts};

use crate::Deliveries;
use crate::definition::Definition;
use crate::folder::Refusal;
use crate::types::{DeliveryId, Error, Result};

/// Whose preview it is when the audience has nobody.
const SAMPLE_ADDRESS: &str = "alex@example.com";

impl Deliveries {
    /// The saved content as `recipient` would get it (an address of the audience; none: the first of the target,
    /// or sample values when the audience is empty). [`Error::Content`] with every problem and its place.
    pub async fn preview(&self, id: DeliveryId, recipient: Option<&str>) -> Result<PreviewParts> {
        let delivery = self.get(id).await?;
        self.preview_of(&delivery.definition, delivery.html.as_deref(), delivery.text.as_deref(), recipient)
            .await
    }

    /// The same for an edit that is not saved.
    pub async fn preview_of(
        &self,
        definition: &Definition,
        html: Option<&str>,
        text: Option<&str>,
        recipient: Option<&str>,
    ) -> Result<PreviewParts> {
        let draft = self.draft_of(definition, html, text);
        let options = self.compile_options(0, definition, 0, true).await?;
        let found = self.preview_recipient(definition, recipient).await?;
        let (time_us, keys) = (self.now_us(), self.rooms.tokens.clone());
        let render = move || {
            let fields = fields_of(found.as_ref());
            let written = found.as_ref().map_or(SAMPLE_ADDRESS, |recipient| &recipient.email);
            let address =
                address::parse(written).map_or_else(|_| SAMPLE_ADDRESS.to_owned(), |mailbox| mailbox.smtp());
            // Both parts are shown, whatever the recipient's own format is.
            let whom = PreviewFor { address: &address, flags: i64::from(message::VARIANT_ALTERNATIVE), time_us };
            content::preview(&draft, &options, &fields, whom, &keys)
        };
        tokio::task::spawn_blocking(render)
            .await
            .map_err(|panic| Error::Internal(format!("the preview panicked: {panic}")))?
            .map_err(Error::Content)
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
