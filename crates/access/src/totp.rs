//! The second factor: codes of an authenticator app (RFC 6238 with SHA-1, 30 seconds, 6 digits, which is what every app
//! can), and recovery codes for when the app is gone.

use crate::error::{Error, Result};
use crate::limits::RECOVERY_CODES;
use crate::{Access, Caller, audit, secret};
use aws_lc_rs::hmac;
use store::{Lane, Tx, binds};

/// Seconds of a step (RFC 6238 4.1: X).
const STEP_S: i64 = 30;
/// Steps before and after the present one that count too: clocks differ, and people type slowly (RFC 6238 5.2).
const STEPS_AROUND: i64 = 1;
/// Digits of a code.
const DIGITS: u32 = 6;
/// Octets of the secret (RFC 4226 4, R6 recommends 160 bits).
const SECRET_LEN: usize = 20;
/// What the seal of a secret is for; the account's id follows, so that it cannot be moved to another account.
const PURPOSE: &str = "second factor of";

/// A secret that an app is being given. Nothing is stored until a first code proves that the app has it.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// In base32, as people type it into an app.
    pub text: String,
    /// `otpauth://totp/…`, as a QR code shows it.
    pub url: String,
}

/// Without the secret.
impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSecret")
    }
}

impl NewSecret {
    fn of(octets: &[u8], name: &str) -> NewSecret {
        let text = base32(octets);
        // In a path a plus sign is a plus sign.
        let label: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let label = label.replace('+', "%20");
        let url = format!("otpauth://totp/Mailwright:{label}?secret={text}&issuer=Mailwright");
        NewSecret { text, url }
    }
}

impl Access {
    /// A new secret for the caller's app.
    pub fn new_second_factor(&self, caller: &Caller) -> Result<NewSecret> {
        Ok(NewSecret::of(&secret::random::<SECRET_LEN>()?, &caller.name))
    }

    /// The same secret again, from its text, to be shown after a wrong code.
    ///
    /// # Errors
    /// [`Error::Code`] when it is not one of [`Access::new_second_factor`].
    pub fn same_second_factor(&self, caller: &Caller, text: &str) -> Result<NewSecret> {
        let octets = from_base32(text).filter(|octets| octets.len() == SECRET_LEN).ok_or(Error::Code)?;
        Ok(NewSecret::of(&octets, &caller.name))
    }

    /// Switches the second factor on, given the password and a code that shows that the app has the secret. Answers the
    /// recovery codes, to be shown once.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::Code`].
    pub async fn set_second_factor(
        &self,
        caller: &Caller,
        password: &str,
        text: &str,
        code: &str,
        now_us: i64,
    ) -> Result<Vec<String>> {
        let octets = from_base32(text).filter(|octets| octets.len() == SECRET_LEN).ok_or(Error::Code)?;
        self.own_password(caller, password, now_us).await?;
        let step = matching_step(&octets, code, 0, now_us).ok_or(Error::Code)?;
        let sealed = self.inner.vault.seal(&format!("{PURPOSE} {}", caller.user), &octets)?;
        let (user, name, codes) = (caller.user, caller.name.clone(), recovery_codes()?);
        let kept = codes.clone();
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "UPDATE account SET totp = $2, totp_step = $3 WHERE id = $1";
                tx.execute(sql, &binds![user, sealed, step])?;
                keep_codes(tx, user, &kept)?;
                audit::record(tx, now_us, &name, "user.second_factor", &name, "on")
            })
            .await?;
        Ok(codes)
    }

    /// Makes new recovery codes; the old ones are worth nothing from then on.
    pub async fn renew_recovery_codes(
        &self,
        caller: &Caller,
        password: &str,
        now_us: i64,
    ) -> Result<Vec<String>> {
        self.own_password(caller, password, now_us).await?;
        let (user, name, codes) = (caller.user, caller.name.clone(), recovery_codes()?);
        let kept = codes.clone();
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "SELECT 1 FROM account WHERE id = $1 AND totp IS NOT NULL";
                tx.query_opt(sql, &binds![user], |row| row.int(0))?
                    .ok_or_else(|| Error::NotFound("second factor to recover".into()))?;
                keep_codes(tx, user, &kept)?;
                audit::record(tx, now_us, &name, "user.recovery_codes", &name, "")?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(codes)
    }

    /// Switches one's own second factor off, given the password.
    pub async fn drop_second_factor(&self, caller: &Caller, password: &str, now_us: i64) -> Result<()> {
        self.own_password(caller, password, now_us).await?;
        self.clear_second_factor(&caller.name, &caller.name, now_us).await
    }

    /// Switches an account's second factor off, for somebody who lost the app and the recovery codes.
    pub async fn clear_second_factor(&self, actor: &str, name: &str, now_us: i64) -> Result<()> {
        let (actor, name) = (actor.to_string(), name.to_string());
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                let sql = "UPDATE account SET totp = NULL, totp_step = 0 WHERE name = $1 RETURNING id";
                let id = tx
                    .query_opt(sql, &binds![&name], |row| row.int(0))?
                    .ok_or_else(|| Error::NotFound(format!("account named {name}")))?;
                tx.execute("DELETE FROM recovery_code WHERE account = $1", &binds![id])?;
                audit::record(tx, now_us, &actor, "user.second_factor", &name, "off")?;
                Ok(())
            })
            .await
    }

    /// How many recovery codes the account still has.
    pub async fn recovery_codes_left(&self, user: i64) -> Result<i64> {
        let sql = "SELECT count(*) FROM recovery_code WHERE account = $1";
        Ok(self.inner.store.read(move |tx| tx.query_one(sql, &binds![user], |row| row.int(0))).await?)
    }

    /// Takes a code of the app, or a recovery code, in the transaction that signs in. Each works once.
    pub(crate) fn take_code(&self, tx: &mut Tx<'_>, user: i64, code: &str, now_us: i64) -> Result<bool> {
        let sql = "SELECT totp, totp_step FROM account WHERE id = $1 AND totp IS NOT NULL";
        let found =
            tx.query_opt(sql, &binds![user], |row| Ok::<_, store::Error>((row.blob(0)?, row.int(1)?)))?;
        let Some((sealed, used)) = found else { return Ok(false) };
        let octets = self.inner.vault.unseal(&format!("{PURPOSE} {user}"), &sealed)?;
        if let Some(step) = matching_step(&octets, code, used, now_us) {
            // The step is in the condition: of two sign-ins at once with one code, one is refused.
            let sql = "UPDATE account SET totp_step = $2 WHERE id = $1 AND totp_step < $2";
            return Ok(tx.execute(sql, &binds![user, step])? == 1);
        }
        let hash = secret::hash(&plain(code));
        let sql = "DELETE FROM recovery_code WHERE account = $1 AND hash = $2";
        Ok(tx.execute(sql, &binds![user, hash])? == 1)
    }
}

/// What an app that holds the secret shows at that time; none for a text that is no secret. For tests and tools.
pub fn app_code(text: &str, at_us: i64) -> Option<String> {
    let octets = from_base32(text)?;
    Some(format!("{:06}", code_at(&octets, at_us.div_euclid(1_000_000 * STEP_S))))
}

fn recovery_codes() -> Result<Vec<String>> {
    (0..RECOVERY_CODES).map(|_| secret::one_time_password()).collect()
}

/// A recovery code has 80 random bits, so its plain hash cannot be turned back.
fn keep_codes(tx: &mut Tx<'_>, user: i64, codes: &[String]) -> store::Result<()> {
    tx.execute("DELETE FROM recovery_code WHERE account = $1", &binds![user])?;
    for code in codes {
        let sql = "INSERT INTO recovery_code (account, hash) VALUES ($1, $2)";
        tx.execute(sql, &binds![user, secret::hash(&plain(code))])?;
    }
    Ok(())
}

/// A code as typed, without the marks between its groups.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The step whose code this is, among those near now and after `used`.
fn matching_step(secret: &[u8], code: &str, used: i64, now_us: i64) -> Option<i64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != DIGITS as usize || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let given: u32 = digits.parse().ok()?;
    let now = now_us.div_euclid(1_000_000 * STEP_S);
    (now - STEPS_AROUND..=now + STEPS_AROUND).find(|step| *step > used && code_at(secret, *step) == given)
}

/// The code of a step (RFC 4226 5.3).
fn code_at(secret: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let octets = tag.as_ref();
    // SHA-1 gives 20 octets, and the offset is at most 15.
    let at = usize::from(octets[octets.len() - 1] & 0x0f);
    let number = u32::from_be_bytes([octets[at] & 0x7f, octets[at + 1], octets[at + 2], octets[at + 3]]);
    number % 10_u32.pow(DIGITS)
}

/// RFC 4648 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Base32 without padding; apps read it so. 20 octets fill 32 characters exactly.
fn base32(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0);
    for octet in octets {
        held = held << 8 | u32::from(*octet);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(BASE32[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(BASE32[(held << (5 - bits) & 31) as usize]));
    }
    out
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0);
    for octet in text.bytes() {
        let value = BASE32.iter().position(|letter| *letter == octet.to_ascii_uppercase())?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
        held &= (1 << bits) - 1;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, SHA-1; there with 8 digits, of which the last 6 are ours.
    #[test]
    fn the_rfcs_codes() {
        let secret = b"12345678901234567890";
        for (seconds, code) in
            [(59, 287_082), (1_111_111_109, 81_804), (1_234_567_890, 5_924), (20_000_000_000, 353_130)]
        {
            assert_eq!(code_at(secret, seconds / STEP_S), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_near_its_time_and_once() {
        let secret = b"12345678901234567890";
        let at = |seconds: i64| seconds * 1_000_000;
        let step = matching_step(secret, "287 082", 0, at(59)).unwrap();
        assert_eq!(step, 1);
        assert_eq!(matching_step(secret, "287082", 0, at(89)), Some(1), "a step late");
        assert_eq!(matching_step(secret, "287082", 0, at(29)), Some(1), "a step early");
        assert_eq!(matching_step(secret, "287082", 0, at(90)), None);
        assert_eq!(matching_step(secret, "287082", step, at(59)), None, "used");
        for wrong in ["", "287083", "28708", "0287082", "abcdef", "+28708"] {
            assert_eq!(matching_step(secret, wrong, 0, at(59)), None, "{wrong}");
        }
    }

    #[test]
    fn base32_both_ways() {
        // RFC 4648 10.
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        for text in ["", "f", "fo", "foo", "foobar", "12345678901234567890"] {
            assert_eq!(from_base32(&base32(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert_eq!(from_base32("MZXW6YTBOI1"), None);
        assert!(NewSecret::of(b"12345678901234567890", "a b").url.contains("Mailwright:a%20b?secret=GEZD"));
    }
}
