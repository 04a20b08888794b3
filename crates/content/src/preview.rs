//! A preview: what one recipient would get, unsigned, with tokens that act on nobody, and no row written.

use std::sync::Arc;

use message::{Envelope, PartName, Prepared, Signer, Stamp, Structure, TokenKeys, compose};
use serde::{Deserialize, Serialize};

use crate::compile::compile;
use crate::compiled::{Compiled, Evaluation};
use crate::draft::{CompileOptions, Draft};
use crate::facts::ImageFact;
use crate::fields::Fields;
use crate::links::FoundLink;
use crate::mobile::diagnose_message;
use crate::problem::Problem;

/// What a preview shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewParts {
    /// Subject, with a proof's prefix.
    pub subject: String,
    /// `Name <address>` or the address.
    pub from: String,
    /// As `from`; empty when replies go to the sender.
    pub reply_to: String,
    /// HTML body with this recipient's values, line ends LF.
    pub html: Option<String>,
    /// Text body with this recipient's values, line ends LF.
    pub text: Option<String>,
    /// AMP body with this recipient's values, line ends LF.
    pub amp: Option<String>,
    /// The whole message, unsigned.
    pub source: Vec<u8>,
    /// What the author should know.
    pub warnings: Vec<Problem>,
    /// What the author may like to know.
    pub notes: Vec<Problem>,
    /// The http(s) links of all parts, in the order in which they first stand.
    pub links: Vec<FoundLink>,
    /// Images of the HTML, in the order in which they first stand.
    pub images: Vec<FoundImage>,
    /// Names and sizes of the files that this recipient gets.
    pub attachments: Vec<(String, u64)>,
    /// The variant that was composed: `alternative`, `text`, `html`, `docomo`, `softbank` or `au`.
    pub format: String,
    /// The number of that variant.
    pub variant: u8,
    /// Encoding of the body.
    pub charset: String,
}

/// An image of the content, for the author to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundImage {
    /// As the author wrote it: the name of an uploaded file, or an address.
    pub name: String,
    /// BLAKE3 of its bytes; nothing for an address elsewhere.
    pub hash: Option<String>,
    /// `image/png`; empty for an address elsewhere.
    pub content_type: String,
    /// Bytes; 0 for an address elsewhere.
    pub size: u64,
    /// It goes along in the message.
    pub inline: bool,
    /// No uploaded file has this name.
    pub missing: bool,
}

/// Whom the preview is for, and when.
#[derive(Debug, Clone, Copy)]
pub struct PreviewFor<'a> {
    /// Address as on the wire; its domain chooses among the format rules.
    pub address: &'a str,
    /// What the recipient wants to get: `text`, `html`, `docomo`, `softbank`, `au`, or empty. `alternative` shows that
    /// format whatever the delivery's rules say.
    pub email_format: &'a str,
    /// Date of the message, microseconds UTC.
    pub time_us: i64,
}

/// Bytes of an uploaded file by its hash.
pub type AssetsOf<'a> = &'a dyn Fn(&str) -> Option<Arc<[u8]>>;

/// Compiles, evaluates and composes for one recipient. `assets` gives the bytes of images and files that go along.
///
/// # Errors
/// The problems of compile, or the one of the evaluation.
pub fn preview(
    draft: &Draft,
    options: &CompileOptions,
    fields: &Fields,
    whom: PreviewFor<'_>,
    keys: &TokenKeys,
    assets: AssetsOf<'_>,
) -> Result<PreviewParts, Vec<Problem>> {
    let options = CompileOptions { inert: true, ..options.clone() };
    let compiled = compile(draft, &options)?;
    preview_compiled(compiled, fields, whom, keys, assets).map_err(|problem| vec![problem])
}

fn preview_compiled(
    compiled: Compiled,
    fields: &Fields,
    whom: PreviewFor<'_>,
    keys: &TokenKeys,
    assets: AssetsOf<'_>,
) -> Result<PreviewParts, Problem> {
    let refuse = |error: &dyn std::fmt::Display| Problem::new("message", error.to_string());
    let variant = match whom.email_format {
        "alternative" => message::VARIANT_ALTERNATIVE,
        word => compiled.flags_for(word, domain_of(whom.address)),
    };
    let Evaluation { slots, flags, warnings: own } = compiled.evaluate(fields, variant)?;
    let format = compiled.format_name(variant).to_owned();
    let images = images_of(&compiled);
    let mut warnings = compiled.warnings;
    warnings.extend(own);
    let prepared = Prepared::new(compiled.snapshot, assets).map_err(|error| refuse(&error))?;
    // The number of no message: 0 of the delivery.
    let id = prepared.snapshot().delivery << 28;
    let envelope = Envelope { id, address: whom.address, flags };
    let stamp = Stamp { time_us: whom.time_us };
    let composed =
        compose::<Signer>(&prepared, &slots, &envelope, &stamp, &[], keys).map_err(|error| refuse(&error))?;
    let text = |name| prepared.part_text(name, &slots, id, keys).map_err(|error| refuse(&error));
    let body = |name| if prepared.snapshot().part(name).is_some() { text(name).map(Some) } else { Ok(None) };
    let name = text(PartName::FromName)?;
    let address = text(PartName::FromAddress)?;
    let mut attachments = Vec::new();
    for (number, file) in prepared.snapshot().attachments.iter().enumerate() {
        let name = text(PartName::Attachment(number as u8))?;
        if !name.is_empty() {
            attachments.push((name, file.size));
        }
    }
    let of = &prepared.snapshot().variants[usize::from(variant)];
    let charset = if of.structure == Structure::Text { of.text.charset } else { of.html.charset };
    let (html, written) = (body(PartName::Html)?, body(PartName::Text)?);
    let mobile = diagnose_message(
        &compiled.facts,
        prepared.snapshot(),
        variant,
        html.as_deref(),
        written.as_deref(),
        &slots,
    );
    warnings.extend(mobile);
    Ok(PreviewParts {
        subject: format!("{}{}", prepared.snapshot().subject_prefix, text(PartName::Subject)?),
        from: if name.is_empty() { address } else { format!("{name} <{address}>") },
        reply_to: text(PartName::ReplyTo)?,
        html,
        text: written,
        amp: body(PartName::Amp)?,
        source: composed.bytes,
        warnings,
        notes: compiled.notes,
        links: compiled.links,
        images,
        attachments,
        format,
        variant,
        charset: charset.name().to_owned(),
    })
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Uploaded images that are used, then addresses elsewhere and names that no file has.
fn images_of(compiled: &Compiled) -> Vec<FoundImage> {
    let uploaded = compiled.snapshot.images.iter().map(|image| FoundImage {
        name: image.name.clone(),
        hash: Some(image.hash.clone()),
        content_type: image.content_type.clone(),
        size: image.size,
        inline: image.inline,
        missing: false,
    });
    let mut found: Vec<FoundImage> = uploaded.collect();
    let plain = |name: &str| name.trim_start_matches("./").trim_start_matches("assets/").to_owned();
    for ImageFact { src, .. } in &compiled.facts.images {
        let known = |image: &FoundImage| image.name == *src || plain(&image.name) == plain(src);
        if !src.is_empty() && !found.iter().any(known) {
            let elsewhere = src.contains(':') || src.starts_with("//") || src.contains("{{");
            found.push(FoundImage {
                name: src.clone(),
                hash: None,
                content_type: String::new(),
                size: 0,
                inline: false,
                missing: !elsewhere,
            });
        }
    }
    found
}
