//! Tokens: a message's number with a MAC, under a key of its own for each purpose.
//!
//! Octets: one of version and flags, eight of the message's number (big endian), eight of MAC (BLAKE3 keyed, cut).
//! Eight octets of MAC suffice because a guess costs a request to us. In a local part the octets are lower-case
//! base32 (RFC 4648 alphabet without padding), because mail systems change case there; in links they are base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Path before the token of an unsubscribe link, and of the one-click POST.
pub const UNSUBSCRIBE_PATH: &str = "/u/";
/// Path before the token of a mirror page.
pub const MIRROR_PATH: &str = "/m/";
/// Path before the token of a tracked link; the link's number follows it after a slash.
pub const CLICK_PATH: &str = "/l/";
/// Path before the token of the open pixel; `.gif` follows it.
pub const OPEN_PATH: &str = "/o/";
/// Path before the token of the page where a reader of a proof accepts or rejects it.
pub const REVIEW_PATH: &str = "/p/";
/// Path before the hash of an image; its extension follows.
pub const ASSET_PATH: &str = "/a/";

const VERSION: u8 = 0x10;
const INERT: u8 = 0x01;
const MAC_LEN: usize = 8;
const TOKEN_LEN: usize = 1 + 8 + MAC_LEN;
/// First letter of the local part of a signed return path.
const RETURN_PATH_LETTER: char = 'b';

/// What a token may be used for. A token made for one purpose does not verify for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Unsubscribe page and one-click POST.
    Unsubscribe,
    /// Mirror page.
    Mirror,
    /// Tracked link.
    Click,
    /// Open pixel.
    Open,
    /// Word of a proof's reader.
    Review,
    /// Signed return path.
    ReturnPath,
    /// Left side of the Message-ID: no secret, but another instance's messages must not share it.
    MessageId,
}

/// What a good token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The message; its delivery is `message >> 28`.
    pub message: i64,
    /// From a proof or a preview: show the page, change nobody.
    pub inert: bool,
}

/// The instance's MAC keys, one for each purpose.
#[derive(Clone)]
pub struct TokenKeys {
    unsubscribe: [u8; 32],
    mirror: [u8; 32],
    click: [u8; 32],
    open: [u8; 32],
    review: [u8; 32],
    return_path: [u8; 32],
    message_id: [u8; 32],
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKeys")
    }
}

impl TokenKeys {
    /// Derives the keys from one secret (`store::Vault::derive_key("tokens")`).
    pub fn derive(secret: &[u8; 32]) -> TokenKeys {
        TokenKeys {
            unsubscribe: blake3::derive_key("mailwright 2026 token unsubscribe", secret),
            mirror: blake3::derive_key("mailwright 2026 token mirror", secret),
            click: blake3::derive_key("mailwright 2026 token click", secret),
            open: blake3::derive_key("mailwright 2026 token open", secret),
            review: blake3::derive_key("mailwright 2026 token review", secret),
            return_path: blake3::derive_key("mailwright 2026 token return path", secret),
            message_id: blake3::derive_key("mailwright 2026 token message id", secret),
        }
    }

    fn key(&self, purpose: Purpose) -> &[u8; 32] {
        match purpose {
            Purpose::Unsubscribe => &self.unsubscribe,
            Purpose::Mirror => &self.mirror,
            Purpose::Click => &self.click,
            Purpose::Open => &self.open,
            Purpose::Review => &self.review,
            Purpose::ReturnPath => &self.return_path,
            Purpose::MessageId => &self.message_id,
        }
    }

    fn octets(&self, purpose: Purpose, token: Token) -> [u8; TOKEN_LEN] {
        let mut octets = [0; TOKEN_LEN];
        octets[0] = VERSION | if token.inert { INERT } else { 0 };
        octets[1..9].copy_from_slice(&token.message.to_be_bytes());
        let mac = blake3::keyed_hash(self.key(purpose), &octets[..9]);
        octets[9..].copy_from_slice(&mac.as_bytes()[..MAC_LEN]);
        octets
    }

    fn check(&self, purpose: Purpose, octets: &[u8]) -> Option<Token> {
        let octets: &[u8; TOKEN_LEN] = octets.try_into().ok()?;
        if octets[0] & !INERT != VERSION {
            return None;
        }
        let message = i64::from_be_bytes(octets[1..9].try_into().ok()?);
        let token = Token { message, inert: octets[0] & INERT != 0 };
        let right = self.octets(purpose, token);
        // All octets are looked at, so the time taken does not tell how many were right.
        let difference = right.iter().zip(octets).fold(0, |sum, (a, b)| sum | (a ^ b));
        (difference == 0).then_some(token)
    }

    /// The token as it stands in a URL: 23 characters of `A-Z a-z 0-9 - _`.
    pub fn link_token(&self, purpose: Purpose, token: Token) -> String {
        URL_SAFE_NO_PAD.encode(self.octets(purpose, token))
    }

    /// Checks a token out of a URL.
    pub fn verify_link(&self, purpose: Purpose, text: &str) -> Option<Token> {
        if text.len() > 64 {
            return None;
        }
        self.check(purpose, &URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// The whole unsubscribe link; also the target of the one-click POST.
    pub fn unsubscribe_url(&self, public_url: &str, token: Token) -> String {
        format!("{public_url}{UNSUBSCRIBE_PATH}{}", self.link_token(Purpose::Unsubscribe, token))
    }

    /// The whole link of the mirror page.
    pub fn mirror_url(&self, public_url: &str, token: Token) -> String {
        format!("{public_url}{MIRROR_PATH}{}", self.link_token(Purpose::Mirror, token))
    }

    /// The whole link by which a reader of a proof accepts or rejects it.
    pub fn review_url(&self, public_url: &str, token: Token) -> String {
        format!("{public_url}{REVIEW_PATH}{}", self.link_token(Purpose::Review, token))
    }

    /// What stands before the number of a tracked link: `PUBLIC_URL/l/TOKEN/`.
    pub fn click_base(&self, public_url: &str, token: Token) -> String {
        format!("{public_url}{CLICK_PATH}{}/", self.link_token(Purpose::Click, token))
    }

    /// The whole link of the open pixel.
    pub fn open_url(&self, public_url: &str, token: Token) -> String {
        format!("{public_url}{OPEN_PATH}{}.gif", self.link_token(Purpose::Open, token))
    }

    /// The signed return path, `b…@bounce_domain`.
    pub fn return_path(&self, bounce_domain: &str, token: Token) -> String {
        let local = base32(&self.octets(Purpose::ReturnPath, token));
        format!("{RETURN_PATH_LETTER}{local}@{bounce_domain}")
    }

    /// Checks the local part of an address that a bounce came to. Case does not matter.
    pub fn verify_return_path(&self, local_part: &str) -> Option<Token> {
        let lower = local_part.to_ascii_lowercase();
        self.check(Purpose::ReturnPath, &base32_decode(lower.strip_prefix(RETURN_PATH_LETTER)?)?)
    }

    /// The Message-ID of a message, without angle brackets.
    pub fn message_id(&self, domain: &str, token: Token) -> String {
        format!("{}@{domain}", base32(&self.octets(Purpose::MessageId, token)))
    }

    /// The message that a Message-ID of ours (with or without angle brackets) names.
    pub fn verify_message_id(&self, message_id: &str) -> Option<Token> {
        let inner = message_id.trim().trim_start_matches('<').trim_end_matches('>');
        let local = inner.split('@').next()?.to_ascii_lowercase();
        self.check(Purpose::MessageId, &base32_decode(&local)?)
    }
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

fn base32(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 8 / 5 + 1);
    let (mut bits, mut count) = (0u32, 0);
    for octet in octets {
        bits = bits << 8 | u32::from(*octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(BASE32[(bits >> count) as usize & 31]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(char::from(BASE32[(bits << (5 - count)) as usize & 31]));
    }
    text
}

fn base32_decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > 64 {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|known| *known == letter)?;
        bits = bits << 5 | value as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // One spelling per token: left-over bits must be zero and fewer than a letter.
    (bits == 0 && count < 5).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> TokenKeys {
        TokenKeys::derive(&[7; 32])
    }

    proptest! {
        #[test]
        fn a_token_says_what_was_put_in(message in any::<i64>(), inert in any::<bool>()) {
            let token = Token { message, inert };
            for purpose in [
                Purpose::Unsubscribe, Purpose::Mirror, Purpose::Click, Purpose::Open, Purpose::Review,
            ] {
                prop_assert_eq!(keys().verify_link(purpose, &keys().link_token(purpose, token)), Some(token));
            }
            let path = keys().return_path("bounce.shop.example", token);
            let local = path.split('@').next().unwrap();
            prop_assert_eq!(keys().verify_return_path(&local.to_uppercase()), Some(token));
            prop_assert!(local.len() <= 64);
            let id = keys().message_id("shop.example", token);
            prop_assert_eq!(keys().verify_message_id(&format!("<{id}>")), Some(token));
        }

        #[test]
        fn any_text_is_refused_quietly(text in ".{0,80}") {
            prop_assert_eq!(keys().verify_link(Purpose::Mirror, &text), None);
            prop_assert_eq!(keys().verify_return_path(&text), None);
            prop_assert_eq!(keys().verify_message_id(&text), None);
        }

        #[test]
        fn one_changed_letter_is_refused(at in 0usize..23, to in "[A-Za-z0-9_-]") {
            let good = keys().link_token(Purpose::Unsubscribe, Token { message: 42 << 28, inert: false });
            let mut bad = good.clone();
            bad.replace_range(at..at + 1, &to);
            prop_assume!(good != bad);
            prop_assert_eq!(keys().verify_link(Purpose::Unsubscribe, &bad), None);
        }
    }

    #[test]
    fn a_purpose_is_not_another_and_an_instance_not_another() {
        let token = Token { message: 1, inert: false };
        let text = keys().link_token(Purpose::Unsubscribe, token);
        assert_eq!(keys().verify_link(Purpose::Mirror, &text), None);
        assert_eq!(TokenKeys::derive(&[8; 32]).verify_link(Purpose::Unsubscribe, &text), None);
    }
}
