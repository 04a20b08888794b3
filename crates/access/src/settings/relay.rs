//! The smart host, written as a URL: `smtp://user:pass@host:port?tls=required`.

use std::fmt;
use url::Url;

/// When the connection to the relay is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTls {
    /// Never.
    None,
    /// When the relay offers STARTTLS. The default without a login.
    Opportunistic,
    /// STARTTLS, or nothing is sent. The default with a login.
    Required,
    /// From the first octet (RFC 8314). The default on port 465.
    Implicit,
}

/// A host that takes all mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Name or address, without brackets.
    pub host: String,
    /// Default: 587 with a login, else 25.
    pub port: u16,
    /// Encryption.
    pub tls: RelayTls,
    /// User and password.
    pub login: Option<(String, String)>,
}

/// Without the password: settings end up in debug output.
impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({}:{}, {:?}, login: {})", self.host, self.port, self.tls, self.login.is_some())
    }
}

impl Relay {
    /// Reads the URL; the message says what is wrong and never quotes the password.
    pub fn parse(text: &str) -> Result<Relay, String> {
        let form =
            "a relay is written smtp://user:password@host:port?tls=none|opportunistic|required|implicit";
        let url = Url::parse(text).map_err(|_| form.to_string())?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
        if url.scheme() != "smtp"
            || host.is_empty()
            || !matches!(url.path(), "" | "/")
            || url.fragment().is_some()
        {
            return Err(form.into());
        }
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => Some((decoded(user)?, decoded(password)?)),
            _ => return Err("a relay's login needs both user and password".into()),
        };
        let port = url.port().unwrap_or(if login.is_some() { 587 } else { 25 });
        let mut tls = match (port, &login) {
            (465, _) => RelayTls::Implicit,
            (_, Some(_)) => RelayTls::Required,
            _ => RelayTls::Opportunistic,
        };
        for (name, value) in url.query_pairs() {
            tls = match (name.as_ref(), value.as_ref()) {
                ("tls", "none") => RelayTls::None,
                ("tls", "opportunistic") => RelayTls::Opportunistic,
                ("tls", "required") => RelayTls::Required,
                ("tls", "implicit") => RelayTls::Implicit,
                _ => return Err("a relay takes only tls=none, opportunistic, required or implicit".into()),
            };
        }
        Ok(Relay { host, port, tls, login })
    }
}

/// Percent decoding (RFC 3986 section 2.1); control characters cannot be sent in a login.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a relay's login has a broken %xx".to_string();
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            octets.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = tail;
        } else {
            octets.push(*first);
        }
    }
    let text = String::from_utf8(octets).map_err(|_| wrong())?;
    if text.chars().any(char::is_control) {
        return Err("a relay's login has a control character".into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let relay = Relay::parse("smtp://me%40shop:p%2Fss@mail.example:2525?tls=none").unwrap();
        assert_eq!(relay.login, Some(("me@shop".into(), "p/ss".into())));
        assert_eq!((relay.host.as_str(), relay.port, relay.tls), ("mail.example", 2525, RelayTls::None));
        assert!(!format!("{relay:?}").contains("p/ss"));
        let plain = Relay::parse("smtp://10.0.0.1").unwrap();
        assert_eq!((plain.port, plain.tls, plain.login), (25, RelayTls::Opportunistic, None));
        assert_eq!(Relay::parse("smtp://u:p@h").unwrap().tls, RelayTls::Required);
        assert_eq!(Relay::parse("smtp://u:p@h:465").unwrap().tls, RelayTls::Implicit);
        assert_eq!(Relay::parse("smtp://[::1]:25").unwrap().host, "::1");
    }

    #[test]
    fn refusals() {
        for text in [
            "mail.example",
            "http://h",
            "smtp://",
            "smtp://h/path",
            "smtp://u@h",
            "smtp://h?tls=maybe",
            "smtp://h?x=1",
            "smtp://u:%0d@h",
            "smtp://u:%zz@h",
            "smtp://h:99999",
        ] {
            assert!(Relay::parse(text).is_err(), "{text}");
        }
    }
}
