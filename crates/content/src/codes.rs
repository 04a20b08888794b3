//! QR and bar codes: `{{ qr(value) }}` and `{{ barcode('ean13', value) }}`.
//!
//! A code is an image that is drawn when a mail program fetches it: the address holds what to draw, signed, so that
//! nobody can have us draw something else. With `inline=true`, and where images go along, the analysis draws it and it
//! travels in the message (`drawn.rs`). In a text part the value itself stands.

use barcoders::sym::codabar::Codabar;
use barcoders::sym::code39::Code39;
use barcoders::sym::code128::Code128;
use barcoders::sym::ean8::EAN8;
use barcoders::sym::ean13::EAN13;
use barcoders::sym::tf::TF;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use qrcode::{Color, EcLevel, QrCode};

use crate::drawn::Wish;
use crate::{gif, png};

/// Path before a code's file name.
pub const CODE_PATH: &str = "/c/";
/// Longest value of a QR code, in bytes: more is not read by a phone from a screen.
pub const QR_VALUE_LEN_MAX: usize = 1_000;
/// Longest value of a bar code, in characters: more is wider than a mail.
pub const BARCODE_VALUE_LEN_MAX: usize = 48;
/// Pixels of a module.
const SCALE_MAX: u8 = 10;
/// Height of a bar code's bars, in pixels.
const HEIGHT_MAX: u8 = 200;
const MAC_LEN: usize = 8;
/// First octet of what a file name holds.
const VERSION: u8 = 1;

/// The key that signs the addresses of codes.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeKey([u8; 32]);

impl CodeKey {
    /// From the vault: `vault.derive_key("content.codes")`.
    #[must_use]
    pub fn new(key: [u8; 32]) -> CodeKey {
        CodeKey(key)
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_LEN] {
        let hash = blake3::keyed_hash(&self.0, bytes);
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&hash.as_bytes()[..MAC_LEN]);
        mac
    }
}

impl std::fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeKey")
    }
}

/// Where a part's codes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In HTML: images, by address or in the message.
    Html,
    /// In an AMP part: images by address, because AMP has no others.
    Amp,
    /// Elsewhere: the value.
    Text,
}

/// What kind of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Qr(EcLevel),
    Codabar,
    Code39,
    Code128,
    Gs1,
    Ean8,
    Ean13,
    UpcA,
    Isbn,
    Itf,
}

/// Kinds of bar codes by the name that a template gives.
const BARCODES: [(&str, Kind); 9] = [
    ("codabar", Kind::Codabar),
    ("code39", Kind::Code39),
    ("code128", Kind::Code128),
    ("gs1_128", Kind::Gs1),
    ("ean8", Kind::Ean8),
    ("ean13", Kind::Ean13),
    ("upc_a", Kind::UpcA),
    ("isbn", Kind::Isbn),
    ("itf", Kind::Itf),
];

impl Kind {
    /// The number in an address. Once given, a number keeps its meaning: mails live for years.
    fn number(self) -> u8 {
        match self {
            Kind::Qr(EcLevel::L) => 1,
            Kind::Qr(EcLevel::M) => 2,
            Kind::Qr(EcLevel::Q) => 3,
            Kind::Qr(EcLevel::H) => 4,
            Kind::Codabar => 10,
            Kind::Code39 => 11,
            Kind::Code128 => 12,
            Kind::Gs1 => 13,
            Kind::Ean8 => 14,
            Kind::Ean13 => 15,
            Kind::UpcA => 16,
            Kind::Isbn => 17,
            Kind::Itf => 18,
        }
    }

    fn from_number(number: u8) -> Option<Kind> {
        let qr = [EcLevel::L, EcLevel::M, EcLevel::Q, EcLevel::H].into_iter().map(Kind::Qr);
        qr.chain(BARCODES.iter().map(|(_, kind)| *kind)).find(|kind| kind.number() == number)
    }
}

/// A code to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    kind: Kind,
    /// Pixels of a module, 1 to [`SCALE_MAX`].
    scale: u8,
    /// Pixels of the bars; without meaning for a QR code.
    height: u8,
    value: String,
}

/// The dark modules of a code, row by row; a bar code has one row.
struct Modules {
    width: usize,
    dark: Vec<bool>,
}

impl Code {
    /// The last part of the code's address, `{payload}.png`.
    pub fn file_name(&self, key: &CodeKey) -> String {
        let mut bytes = vec![VERSION, self.kind.number(), self.scale, self.height];
        bytes.extend(self.value.as_bytes());
        let mac = key.mac(&bytes);
        bytes.extend(mac);
        format!("{}.png", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a file name; nothing when we did not sign it.
    pub fn from_file_name(file_name: &str, key: &CodeKey) -> Option<Code> {
        let payload = file_name.strip_suffix(".png")?;
        if payload.len() > 2 * QR_VALUE_LEN_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let (said, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_LEN)?)?;
        // blake3's own comparison takes the same time for every wrong MAC; this one guards a drawing, no secret.
        if key.mac(said) != mac {
            return None;
        }
        let &[VERSION, kind, scale, height, ref value @ ..] = said else { return None };
        let value = String::from_utf8(value.to_vec()).ok()?;
        let code = Code { kind: Kind::from_number(kind)?, scale, height, value };
        ((1..=SCALE_MAX).contains(&scale) && height <= HEIGHT_MAX).then_some(code)
    }

    /// The modules with the quiet zone that readers need around them.
    fn modules(&self) -> Result<Modules, String> {
        match self.kind {
            Kind::Qr(level) => qr(&self.value, level),
            kind => bars(kind, &self.value),
        }
    }

    /// Width and height in pixels.
    fn size(&self, modules: &Modules) -> (usize, usize) {
        let scale = usize::from(self.scale);
        let height = match self.kind {
            Kind::Qr(_) => modules.dark.len() / modules.width * scale,
            _ => usize::from(self.height),
        };
        (modules.width * scale, height)
    }

    /// The picture: GIF where PNG is not shown.
    pub fn picture(&self, as_gif: bool) -> Option<Vec<u8>> {
        let modules = self.modules().ok()?;
        let (width, height) = self.size(&modules);
        let scale = usize::from(self.scale);
        let is_dark = |x: usize, y: usize| {
            let row = if matches!(self.kind, Kind::Qr(_)) { y / scale } else { 0 };
            modules.dark[row * modules.width + x / scale]
        };
        Some(match as_gif {
            true => gif::black_and_white(width, height, is_dark),
            false => png::black_and_white(width, height, is_dark),
        })
    }
}

/// The image of a code by the last part of its address; nothing when we did not sign it. Pure: the same name gives
/// the same picture for ever.
#[must_use]
pub fn code_png(file_name: &str, key: &CodeKey) -> Option<Vec<u8>> {
    Code::from_file_name(file_name, key)?.picture(false)
}

fn qr(value: &str, level: EcLevel) -> Result<Modules, String> {
    const QUIET: usize = 4;
    if value.len() > QR_VALUE_LEN_MAX {
        return Err(format!("the value of a QR code may have {QR_VALUE_LEN_MAX} bytes"));
    }
    let code = QrCode::with_error_correction_level(value, level).map_err(|error| error.to_string())?;
    let inner = code.width();
    let width = inner + 2 * QUIET;
    let mut dark = vec![false; width * width];
    for (at, color) in code.into_colors().into_iter().enumerate() {
        dark[(at / inner + QUIET) * width + at % inner + QUIET] = color == Color::Dark;
    }
    Ok(Modules { width, dark })
}

fn bars(kind: Kind, value: &str) -> Result<Modules, String> {
    const QUIET: usize = 10;
    if value.chars().count() > BARCODE_VALUE_LEN_MAX {
        return Err(format!("the value of a bar code may have {BARCODE_VALUE_LEN_MAX} characters"));
    }
    let bare: String = value.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let encoded = match kind {
        Kind::Codabar => Codabar::new(codabar(value)).map(|code| code.encode()),
        Kind::Code39 => Code39::new(value.to_uppercase()).map(|code| code.encode()),
        Kind::Code128 => Code128::new(code128(value, "")?).map(|code| code.encode()),
        // FNC1 first says that it is GS1's; brackets around its identifiers are for people.
        Kind::Gs1 => {
            let data: String = bare.chars().filter(|c| !matches!(c, '(' | ')')).collect();
            Code128::new(code128(&data, "\u{179}")?).map(|code| code.encode())
        }
        Kind::Ean8 => EAN8::new(&bare).map(|code| code.encode()),
        Kind::Ean13 => EAN13::new(&bare).map(|code| code.encode()),
        Kind::UpcA => EAN13::new(format!("0{bare}")).map(|code| code.encode()),
        Kind::Isbn => EAN13::new(isbn(&bare)).map(|code| code.encode()),
        Kind::Itf => TF::interleaved(&bare).map(|code| code.encode()),
        Kind::Qr(_) => return Err("not a bar code".to_owned()),
    };
    let encoded = encoded.map_err(|error| match error {
        barcoders::error::Error::Checksum => "the last digit does not fit the others".to_owned(),
        barcoders::error::Error::Length => "the value has the wrong length".to_owned(),
        _ => "the value has characters that this code does not have".to_owned(),
    })?;
    let mut dark = vec![false; QUIET];
    dark.extend(encoded.iter().map(|module| *module == 1));
    dark.extend([false; QUIET]);
    Ok(Modules { width: dark.len(), dark })
}

/// Start and stop letters, where the value brings none.
fn codabar(value: &str) -> String {
    let value = value.to_uppercase();
    let has_letter = value.starts_with(['A', 'B', 'C', 'D']);
    if has_letter { value } else { format!("A{value}A") }
}

/// An ISBN of ten characters as the EAN that stands on the book; the check digit is computed anew.
fn isbn(value: &str) -> String {
    match value.len() {
        10 if value.is_char_boundary(9) => format!("978{}", &value[..9]),
        _ => value.to_owned(),
    }
}

/// Chooses the character sets: C, two digits a symbol, for a value of an even number of digits; else B.
fn code128(value: &str, start: &str) -> Result<String, String> {
    const SET_B: char = '\u{181}';
    const SET_C: char = '\u{106}';
    if !value.bytes().all(|octet| (0x20..0x7F).contains(&octet)) {
        return Err("the value has characters that this code does not have".to_owned());
    }
    let is_pairs = value.len() >= 2
        && value.len().is_multiple_of(2)
        && value.bytes().all(|octet| octet.is_ascii_digit());
    let set = if is_pairs { SET_C } else { SET_B };
    Ok(format!("{set}{start}{value}"))
}

/// Base of the addresses of codes.
pub(crate) fn base(public_url: &str) -> String {
    format!("{}{CODE_PATH}", public_url.trim_end_matches('/'))
}

/// Adds the functions `qr` and `barcode` to a template environment. Without a key there are no addresses, and every
/// code goes along.
pub(crate) fn add_to(
    environment: &mut Environment<'static>,
    place: Place,
    public_url: &str,
    key: Option<&CodeKey>,
) {
    let base = base(public_url);
    let key = key.cloned();
    let (qr_base, qr_key) = (base.clone(), key.clone());
    environment.add_function("qr", move |value: Value, options: Kwargs| -> Result<Value, Error> {
        let level = match options.get::<Option<&str>>("level")?.unwrap_or("m") {
            "l" | "L" => EcLevel::L,
            "m" | "M" => EcLevel::M,
            "q" | "Q" => EcLevel::Q,
            "h" | "H" => EcLevel::H,
            other => return Err(refused(format!("qr: level is l, m, q or h, not {other}"))),
        };
        write(Kind::Qr(level), &value, &options, place, &qr_base, qr_key.as_ref())
    });
    environment.add_function(
        "barcode",
        move |kind: &str, value: Value, options: Kwargs| -> Result<Value, Error> {
            let Some((_, kind)) = BARCODES.iter().find(|(name, _)| *name == kind) else {
                let names: Vec<&str> = BARCODES.iter().map(|(name, _)| *name).collect();
                return Err(refused(format!("barcode: `{kind}` is none of {}", names.join(", "))));
            };
            write(*kind, &value, &options, place, &base, key.as_ref())
        },
    );
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn write(
    kind: Kind,
    value: &Value,
    options: &Kwargs,
    place: Place,
    base: &str,
    key: Option<&CodeKey>,
) -> Result<Value, Error> {
    let is_qr = matches!(kind, Kind::Qr(_));
    let what = if is_qr { "qr" } else { "barcode" };
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "not a field"));
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let text = text.trim();
    if text.is_empty() || value.is_none() {
        return Err(refused(format!("{what}: the value is empty; put an {{% if %}} around it")));
    }
    let scale = options.get::<Option<i64>>("scale")?.unwrap_or(if is_qr { 4 } else { 2 });
    let height = options.get::<Option<i64>>("height")?.unwrap_or(if is_qr { 0 } else { 60 });
    let alt = options.get::<Option<String>>("alt")?.unwrap_or_else(|| text.to_owned());
    let wish = Wish::of(options.get::<Option<bool>>("inline")?);
    options.assert_all_used()?;
    let in_range = |name: &str, number: i64, max: u8| {
        let found = u8::try_from(number).ok().filter(|number| *number <= max && (*number > 0 || is_qr));
        found.ok_or_else(|| refused(format!("{what}: {name} is a number up to {max}")))
    };
    let code = Code {
        kind,
        scale: in_range("scale", scale, SCALE_MAX)?.max(1),
        height: in_range("height", height, HEIGHT_MAX)?,
        value: text.to_owned(),
    };
    let modules = code.modules().map_err(|error| refused(format!("{what}: `{text}`: {error}")))?;
    let src = match (place, key) {
        (Place::Text, _) => return Ok(Value::from(text)),
        (Place::Html, key) => wish.mark(&code, key),
        (Place::Amp, Some(key)) => format!("{base}{}", code.file_name(key)),
        (Place::Amp, None) => return Err(refused(format!("{what}: an AMP part has images by address only"))),
    };
    let (width, height) = code.size(&modules);
    let alt = attribute(&alt);
    Ok(Value::from_safe_string(format!(
        "<img src=\"{src}\" width=\"{width}\" height=\"{height}\" alt=\"{alt}\" style=\"display:block;border:0\">"
    )))
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CodeKey {
        CodeKey::new([7; 32])
    }

    fn rendered(template: &str, place: Place, key: Option<&CodeKey>) -> Result<String, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        add_to(&mut environment, place, "https://t.example/", key);
        environment
            .render_str(template, minijinja::context! { v => "4006381333931", e => "" })
            .map_err(|error| error.to_string())
    }

    fn bits(kind: Kind, value: &str) -> Result<String, String> {
        let modules = bars(kind, value)?;
        Ok(modules
            .dark
            .iter()
            .map(|dark| if *dark { '1' } else { '0' })
            .collect::<String>()
            .trim_matches('0')
            .into())
    }

    #[test]
    fn an_address_is_drawn_only_as_it_was_signed() {
        let html =
            rendered("{{ barcode('ean13', v, height=50, scale=1, alt='<\"') }}", Place::Amp, Some(&key()))
                .unwrap();
        let name = html.strip_prefix("<img src=\"https://t.example/c/").unwrap();
        let name = &name[..name.find('"').unwrap()];
        assert!(html.contains("width=\"115\" height=\"50\" alt=\"&lt;&quot;\""), "{html}");
        let png = code_png(name, &key()).unwrap();
        assert!(png.starts_with(b"\x89PNG") && code_png(name, &key()) == Some(png));
        assert_eq!(code_png(name, &CodeKey::new([8; 32])), None);
        let other = name.replacen(&name[8..9], if &name[8..9] == "A" { "B" } else { "A" }, 1);
        for wrong in [other.as_str(), "", ".png", "AAAA.png", "x", &"A".repeat(9_999)] {
            assert_eq!(code_png(wrong, &key()), None, "{wrong}");
        }
    }

    #[test]
    fn known_codes_have_their_modules() {
        // EAN-13 4006381333931 as ISO/IEC 15420 draws it.
        let ean =
            "10100011010100111010111101111010001001011001010101000010100001010000101110100100001011001101010";
        assert_eq!(bits(Kind::Ean13, "4006381333931").unwrap().len(), 95);
        assert_eq!(bits(Kind::Ean13, "4006381333931").unwrap().len(), ean.len());
        assert_eq!(bits(Kind::Ean13, "400638133393"), bits(Kind::Ean13, "4006381333931"));
        assert_eq!(bits(Kind::UpcA, "036000291452"), bits(Kind::Ean13, "0036000291452"));
        assert_eq!(bits(Kind::Isbn, "0-306-40615-2"), bits(Kind::Isbn, "978-0-306-40615-7"));
        assert!(bits(Kind::Code128, "1234").unwrap().starts_with("11010011100"), "set C");
        assert!(bits(Kind::Code128, "AB-1").unwrap().starts_with("11010010000"), "set B");
        assert!(bits(Kind::Gs1, "(01)09501101530003").unwrap().starts_with("1101001110011110101110"), "FNC1");
        assert!(bits(Kind::Codabar, "1234").is_ok() && bits(Kind::Code39, "abc 1").is_ok());
        assert!(bits(Kind::Itf, "123456").is_ok() && bits(Kind::Ean8, "9638507").is_ok());
    }

    #[test]
    fn a_value_that_cannot_be_drawn_is_an_error() {
        for (kind, value, message) in [
            (Kind::Ean13, "4006381333932", "last digit"),
            (Kind::Ean13, "40063", "length"),
            (Kind::Ean13, "40063813339x", "characters"),
            (Kind::Code128, "é", "characters"),
            (Kind::Code39, "é", "characters"),
            (Kind::Codabar, "x", "characters"),
            (Kind::Isbn, "éééééé", "characters"),
        ] {
            let error = bits(kind, value).unwrap_err();
            assert!(error.contains(message), "{value}: {error}");
        }
        assert!(bits(Kind::Itf, &"1".repeat(49)).unwrap_err().contains("48"));
        for template in [
            "{{ qr(e) }}",
            "{{ qr(x) }}",
            "{{ barcode('ean', v) }}",
            "{{ qr(v, level='x') }}",
            "{{ qr(v, scale=11) }}",
            "{{ barcode('ean13', '1') }}",
            "{{ qr(v, wrong=1) }}",
            "{{ barcode('ean13', v, height=0) }}",
        ] {
            assert!(rendered(template, Place::Html, Some(&key())).is_err(), "{template}");
        }
        assert!(qr(&"x".repeat(QR_VALUE_LEN_MAX), EcLevel::H).is_ok());
        assert!(qr(&"x".repeat(QR_VALUE_LEN_MAX + 1), EcLevel::L).is_err());
    }

    #[test]
    fn text_has_the_value_and_amp_an_address() {
        assert_eq!(rendered("{{ qr(v) }}", Place::Text, Some(&key())).unwrap(), "4006381333931");
        let amp = rendered("{{ qr(v, inline=true) }}", Place::Amp, Some(&key())).unwrap();
        assert!(amp.starts_with("<img src=\"https://t.example/c/"), "{amp}");
        assert!(rendered("{{ qr(v) }}", Place::Amp, None).unwrap_err().contains("by address only"));
    }

    #[test]
    fn numbers_lead_back_to_kinds() {
        for number in 0..=255 {
            if let Some(kind) = Kind::from_number(number) {
                assert_eq!(kind.number(), number);
            }
        }
        assert_eq!(Kind::from_number(15), Some(Kind::Ean13));
    }
}
