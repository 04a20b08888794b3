//! A preview: what one recipient would get, unsigned, with tokens that act on nobody, and no row written.

use message::{Envelope, FLAGS_VARIANT, PartName, Prepared, Signer, Stamp, TokenKeys, compose};

use crate::compile::{Compiled, Evaluation, compile};
use crate::draft::{CompileOptions, Draft};
use crate::fields::Fields;
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
    /// The whole message, unsigned.
    pub source: Vec<u8>,
    /// What the author should know.
    pub warnings: Vec<Problem>,
}

/// Whom the preview is for, and when.
#[derive(Debug, Clone, Copy)]
pub struct PreviewFor<'a> {
    /// Address as on the wire.
    pub address: &'a str,
    /// Flags of the message: the variant's number and further bits.
    pub flags: i64,
    /// Date of the message, microseconds UTC.
    pub time_us: i64,
}

/// Compiles, evaluates and composes for one recipient.
///
/// # Errors
/// The problems of compile, or the one of the evaluation.
pub fn preview(
    draft: &Draft,
    options: &CompileOptions,
    fields: &Fields,
    whom: PreviewFor<'_>,
    keys: &TokenKeys,
) -> Result<PreviewParts, Vec<Problem>> {
    let options = CompileOptions { inert: true, ..options.clone() };
    let compiled = compile(draft, &options)?;
    preview_compiled(compiled, fields, whom, keys).map_err(|problem| vec![problem])
}

fn preview_compiled(
    compiled: Compiled,
    fields: &Fields,
    whom: PreviewFor<'_>,
    keys: &TokenKeys,
) -> Result<PreviewParts, Problem> {
    let refuse = |error: &dyn std::fmt::Display| Problem::new("message", error.to_string());
    let Evaluation { slots, warnings: own, .. } = compiled.evaluate(fields, (whom.flags & FLAGS_VARIANT) as u8)?;
    let mut warnings = compiled.warnings;
    warnings.extend(own);
    let prepared = Prepared::new(compiled.snapshot, |_| None).map_err(|error| refuse(&error))?;
    // The number of no message: 0 of the delivery.
    let id = prepared.snapshot().delivery << 28;
    let envelope = Envelope { id, address: whom.address, flags: whom.flags };
    let stamp = Stamp { time_us: whom.time_us };
    let composed =
        compose::<Signer>(&prepared, &slots, &envelope, &stamp, &[], keys).map_err(|error| refuse(&error))?;
    let text = |name| prepared.part_text(name, &slots, id, keys).map_err(|error| refuse(&error));
    let body = |name| if prepared.snapshot().part(name).is_some() { text(name).map(Some) } else { Ok(None) };
    let name = text(PartName::FromName)?;
    let address = text(PartName::FromAddress)?;
    Ok(PreviewParts {
        subject: format!("{}{}", prepared.snapshot().subject_prefix, text(PartName::Subject)?),
        from: if name.is_empty() { address } else { format!("{name} <{address}>") },
        reply_to: text(PartName::ReplyTo)?,
        html: body(PartName::Html)?,
        text: body(PartName::Text)?,
        source: composed.bytes,
        warnings,
    })
}
