//! What a definition may say: keys of later versions are refused, values are held within their range.
//!
//! A refusal names the key; `folder` adds the line. What only the content can tell (a template that is wrong, a link
//! that is not there) is the analysis' to find.

mod target;

pub use target::TARGET_ITEMS_MAX;

use crate::definition::{Attachment, Definition, LinkChoice};
use crate::folder::Refusal;

/// Longest subject, label, code or preheader template, in bytes.
pub const SHORT_TEMPLATE_LEN_MAX: usize = 4_096;
/// Additional headers of a delivery; the snapshot names them by a small number.
pub const HEADERS_MAX: usize = 30;
/// Attachments of a delivery, and images chosen one by one.
pub const ATTACHMENTS_MAX: usize = 20;
/// Images chosen to travel with the message, one by one.
pub const INLINE_IMAGES_MAX: usize = 200;
/// Links that may be chosen one by one.
pub const LINK_CHOICES_MAX: usize = 2_000;
/// Parameters added to each link.
pub const UTM_MAX: usize = 20;
/// Longest label or category of a link, and longest UTM parameter, in bytes.
pub const LINK_TEXT_LEN_MAX: usize = 200;
/// Longest URL in a link choice, in bytes.
pub const URL_LEN_MAX: usize = 2_048;

impl Definition {
    /// Refuses keys whose feature comes later (unless at their default), and values outside their range.
    pub fn check(&self) -> Result<(), Refusal> {
        self.check_pool()?;
        self.check_characters()?;
        target::check(self)?;
        self.check_values()?;
        self.check_content()?;
        self.check_words()?;
        self.check_headers()?;
        crate::schedule::check(self)?;
        self.waves.as_ref().map_or(Ok(()), crate::waves::check)?;
        crate::ab::check(self)?;
        crate::approval::check(&self.validation)?;
        self.check_tracking()
    }

    /// A name as sources have it; whether there is such a pool is what a rule asks.
    fn check_pool(&self) -> Result<(), Refusal> {
        match routes::is_pool_name(&self.parameters.pool) {
            true => Ok(()),
            false => Err(Refusal::new("parameters.pool", crate::pools::NAME_RULE)),
        }
    }

    /// No text has a NUL character: PostgreSQL's JSON keeps none, and no mail can carry it.
    fn check_characters(&self) -> Result<(), Refusal> {
        let value = serde_json::to_value(self).unwrap_or_default();
        match with_nul(&value) {
            Some(field) => Err(Refusal::new(&field, "has a NUL character (U+0000)")),
            None => Ok(()),
        }
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
            ("template", &self.template),
            ("subject", &self.subject),
            ("preheader", &self.preheader),
            ("sender.name", &self.sender.name),
            ("sender.address", &self.sender.address),
            ("sender.reply_to", &self.sender.reply_to),
            ("sender.error_address", &self.sender.error_address),
        ];
        for (field, value) in short {
            length(field, value, SHORT_TEMPLATE_LEN_MAX)?;
        }
        let bounces = self.sender.unqualified_bounces_to.trim();
        if !bounces.is_empty()
            && let Err(error) = address::parse(bounces)
        {
            return Err(Refusal::new("sender.unqualified_bounces_to", format!("is no address: {error}")));
        }
        crate::readers::check(&self.proof)?;
        crate::seeds::check("target.seeds", &self.target.seeds)?;
        crate::seeds::check("proof.seeds", &self.proof.seeds)?;
        crate::parameters::Sending::of(&self.parameters, 0)?;
        crate::parameters::Limits::of(&self.parameters).map(drop)
    }

    /// Values that are one of a few words.
    fn check_words(&self) -> Result<(), Refusal> {
        let parameters = &self.parameters;
        one_of(
            "parameters.priority",
            &parameters.priority,
            &["very_low", "low", "normal", "high", "very_high"],
        )?;
        one_of(
            "validation.analysis_priority",
            &self.validation.analysis_priority,
            &["low", "normal", "high"],
        )?;
        one_of("parameters.format", &parameters.format, &["recipient", "alternative", "text"])?;
        one_of(
            "parameters.mirror_page",
            &parameters.mirror_page,
            &["when_linked", "always", "never", "by_message"],
        )?;
        one_of("parameters.precedence", &parameters.precedence, &["", "bulk", "list"])?;
        one_of("content.images", &self.content.images, &["link", "inline"])?;
        if message::Charset::parse(&parameters.encoding).is_none() {
            return Err(Refusal::new(
                "parameters.encoding",
                format!(
                    "{:?} is no charset that is known here; use utf-8, iso-2022-jp, shift_jis, euc-kr, gb2312, big5, \
                     windows-125x or iso-8859-x",
                    parameters.encoding
                ),
            ));
        }
        Ok(())
    }

    fn check_content(&self) -> Result<(), Refusal> {
        let content = &self.content;
        let files = [
            ("content.html", &content.html),
            ("content.text", &content.text),
            ("content.mjml", &content.mjml),
            ("content.amp", &content.amp),
        ];
        for (field, name) in files {
            if !name.is_empty() {
                file_name(field, name)?;
            }
        }
        if content.inline_images.len() > INLINE_IMAGES_MAX {
            return Err(Refusal::new(
                "content.inline_images",
                format!("names more than {INLINE_IMAGES_MAX} images"),
            ));
        }
        if content.attachments.len() > ATTACHMENTS_MAX {
            return Err(Refusal::new(
                "content.attachments",
                format!("has more than {ATTACHMENTS_MAX} elements"),
            ));
        }
        content.attachments.iter().try_for_each(check_attachment)
    }

    fn check_headers(&self) -> Result<(), Refusal> {
        const FIELD: &str = "parameters.headers";
        let headers = &self.parameters.headers;
        if headers.len() > HEADERS_MAX {
            return Err(Refusal::new(FIELD, format!("has more than {HEADERS_MAX} headers")));
        }
        for (name, value) in headers {
            if !message::is_header_name(name) {
                return Err(Refusal::new(
                    FIELD,
                    format!(
                        "names {name:?}, which is no header that can be added: Mailwright writes it, or it is no name"
                    ),
                ));
            }
            length(FIELD, value, SHORT_TEMPLATE_LEN_MAX)?;
            if value.contains(['\r', '\n', '\0']) {
                return Err(Refusal::new(FIELD, format!("has a line break in the value of {name}")));
            }
        }
        let mut names: Vec<_> = headers.keys().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Refusal::new(FIELD, format!("has {} twice", pair[0]))),
            None => Ok(()),
        }
    }

    fn check_tracking(&self) -> Result<(), Refusal> {
        let tracking = &self.tracking;
        if tracking.links.len() > LINK_CHOICES_MAX {
            return Err(Refusal::new("tracking.links", format!("has more than {LINK_CHOICES_MAX} elements")));
        }
        tracking.links.iter().try_for_each(check_link)?;
        if tracking.utm.len() > UTM_MAX {
            return Err(Refusal::new("tracking.utm", format!("has more than {UTM_MAX} parameters")));
        }
        for (name, value) in &tracking.utm {
            let fits = !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            if !fits {
                return Err(Refusal::new(
                    "tracking.utm",
                    format!("names {name:?}; a parameter's name has letters, digits, - and _ only"),
                ));
            }
            length("tracking.utm", value, LINK_TEXT_LEN_MAX)?;
        }
        Ok(())
    }
}

fn check_attachment(attachment: &Attachment) -> Result<(), Refusal> {
    const FIELD: &str = "content.attachments";
    if attachment.file.trim().is_empty() {
        return Err(Refusal::new(FIELD, "has an element without `file`"));
    }
    file_name(FIELD, &attachment.file)?;
    length(FIELD, &attachment.name, SHORT_TEMPLATE_LEN_MAX)?;
    length(FIELD, &attachment.when, SHORT_TEMPLATE_LEN_MAX)
}

fn check_link(link: &LinkChoice) -> Result<(), Refusal> {
    const FIELD: &str = "tracking.links";
    if link.url.trim().is_empty() {
        return Err(Refusal::new(FIELD, "has an element without `url`"));
    }
    length(FIELD, &link.url, URL_LEN_MAX)?;
    length(FIELD, &link.label, LINK_TEXT_LEN_MAX)?;
    length(FIELD, &link.category, LINK_TEXT_LEN_MAX)?;
    if !matches!(link.mode.as_str(), "tracked" | "untracked" | "opt_out" | "mirror") {
        return Err(Refusal::new(
            FIELD,
            format!("has the mode {:?}; a link is tracked, untracked, opt_out or mirror", link.mode),
        ));
    }
    Ok(())
}

/// Longest name of a delivery's file, in bytes.
pub const FILE_NAME_LEN_MAX: usize = 255;

/// Refuses a name that could leave the folder that it stands in.
pub(crate) fn file_name(field: &str, name: &str) -> Result<(), Refusal> {
    let parts_fit = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let chars_fit = !name.chars().any(|c| c == '\\' || c.is_control());
    if parts_fit && chars_fit && name.len() <= FILE_NAME_LEN_MAX {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Refusal::new(field, format!("{shown:?} is no file name: it is relative, with / between its parts")))
}

/// Dotted path of the first text with a NUL character; an entry of a list has the list's.
fn with_nul(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => text.contains('\0').then(String::new),
        serde_json::Value::Array(items) => items.iter().find_map(with_nul),
        serde_json::Value::Object(keys) => keys.iter().find_map(|(key, value)| {
            if key.contains('\0') {
                return Some(String::new());
            }
            let inner = with_nul(value)?;
            Some(if inner.is_empty() { key.clone() } else { format!("{key}.{inner}") })
        }),
        _ => None,
    }
}

fn length(field: &str, value: &str, max: usize) -> Result<(), Refusal> {
    if value.len() > max {
        return Err(Refusal::new(field, format!("is longer than {max} bytes")));
    }
    Ok(())
}

fn one_of(field: &str, value: &str, words: &[&str]) -> Result<(), Refusal> {
    if words.contains(&value) {
        return Ok(());
    }
    let shown: Vec<_> = words.iter().map(|word| if word.is_empty() { "empty" } else { word }).collect();
    Err(Refusal::new(field, format!("is none of {}", shown.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Definition)) -> Refusal {
        let mut definition = Definition::new("October");
        change(&mut definition);
        definition.check().unwrap_err()
    }

    #[test]
    fn defaults_pass_once_there_is_a_label() {
        assert!(Definition::new("October").check().is_ok());
        assert_eq!(Definition::new(" ").check().unwrap_err().field, "label");
    }

    #[test]
    fn a_nul_is_refused_where_it_stands() {
        assert_eq!(refused(|d| d.subject = "a\0b".into()).field, "subject");
        assert_eq!(refused(|d| d.sender.name = "\0".into()).field, "sender.name");
        assert_eq!(refused(|d| d.content.inline_images = vec!["\0".into()]).field, "content.inline_images");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for pool in ["", "Fast", "a b"] {
            assert_eq!(refused(|d| d.parameters.pool = pool.into()).field, "parameters.pool");
        }
        assert_eq!(refused(|d| d.proof.variants = 4).field, "proof.variants");
        assert_eq!(refused(|d| d.proof.mode = "everybody".into()).field, "proof.mode");
    }

    #[test]
    fn a_word_that_is_not_known_is_refused_with_those_that_are() {
        let refusal = refused(|d| d.parameters.format = "html".into());
        assert_eq!(refusal.field, "parameters.format");
        assert!(refusal.text.contains("alternative"), "{}", refusal.text);
        assert_eq!(refused(|d| d.parameters.mirror_page = "yes".into()).field, "parameters.mirror_page");
        assert_eq!(refused(|d| d.content.images = "cid".into()).field, "content.images");
        assert_eq!(refused(|d| d.parameters.precedence = "junk".into()).field, "parameters.precedence");
        assert_eq!(refused(|d| d.parameters.encoding = "klingon".into()).field, "parameters.encoding");
        assert_eq!(
            refused(|d| d.sender.unqualified_bounces_to = "a b".into()).field,
            "sender.unqualified_bounces_to"
        );
    }

    #[test]
    fn known_encodings_pass() {
        for name in [
            "utf-8",
            "UTF-8",
            "iso-2022-jp",
            "shift_jis",
            "euc-kr",
            "gb2312",
            "big5",
            "windows-1256",
            "iso-8859-2",
        ] {
            let mut definition = Definition::new("October");
            definition.parameters.encoding = name.into();
            assert!(definition.check().is_ok(), "{name}");
        }
    }

    #[test]
    fn headers_are_names_that_an_author_may_add_once() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (name, value) in [("From", "x"), ("X Y", "x"), ("DKIM-Signature", "x"), ("X-A", "a\r\nBcc: b")] {
            let refusal = refused(|d| d.parameters.headers.extend([header(name, value)]));
            assert_eq!(refusal.field, "parameters.headers", "{name}");
        }
        let twice = refused(|d| d.parameters.headers.extend([header("X-A", "1"), header("x-a", "2")]));
        assert!(twice.text.contains("twice"), "{}", twice.text);
    }

    #[test]
    fn files_stay_in_their_folder() {
        for name in ["../secret", "/etc/passwd", "a//b", "a\\b", "a\u{0}b"] {
            let attachment = Attachment { file: name.into(), ..Attachment::default() };
            let refusal = refused(|d| d.content.attachments = vec![attachment]);
            assert!(refusal.field.starts_with("content.attachments"), "{name:?}: {}", refusal.field);
        }
        assert_eq!(refused(|d| d.content.mjml = "../x.mjml".into()).field, "content.mjml");
    }

    #[test]
    fn link_choices_and_utm_parameters_are_checked() {
        let link = |mode: &str| LinkChoice {
            url: "https://shop.example/".into(),
            label: String::new(),
            category: String::new(),
            mode: mode.into(),
        };
        assert_eq!(refused(|d| d.tracking.links = vec![link("sometimes")]).field, "tracking.links");
        let long = LinkChoice { label: "x".repeat(LINK_TEXT_LEN_MAX + 1), ..link("tracked") };
        assert_eq!(refused(|d| d.tracking.links = vec![long]).field, "tracking.links");
        let pair = ("so urce".to_owned(), "x".to_owned());
        assert_eq!(refused(|d| d.tracking.utm.extend([pair])).field, "tracking.utm");
    }
}
