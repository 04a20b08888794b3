//! The kinds of settings: how a text becomes a value, and what is refused.

use super::relay::Relay;
use std::net::{IpAddr, SocketAddr};
use store::Span;
use url::Url;

/// Longest value of a setting, in octets.
pub const VALUE_LEN_MAX: usize = 4_096;
/// Most entries of a list.
pub const LIST_LEN_MAX: usize = 200;

/// What a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One line of text.
    Text,
    /// A folder by its absolute path.
    Folder,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `http://` or `https://`, a host, and perhaps a path.
    WebUrl,
    /// See [`Relay`].
    Relay,
    /// A domain name.
    Domain,
    /// `address` or `Name <address>`: looked at closely where it is used.
    Mailbox,
    /// Masks of addresses: `*@shop.example`, `*@*.shop.example`, `news@shop.example`.
    Masks,
    /// An IP address and a port.
    Listen,
    /// IP addresses with a port (default 53).
    Servers,
    /// IP ranges, as `10.0.0.0/8`.
    Ranges,
    /// A whole number within bounds.
    Count {
        /// Least value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Hours of the day, perhaps with an IANA zone: `01:00-05:00 Europe/Paris`.
    Hours,
    /// A length of time within bounds.
    Span {
        /// Least value.
        min: Span,
        /// Largest value.
        max: Span,
    },
}

/// A value that passed its kind's checks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parsed {
    Text(String),
    Relay(Relay),
    List(Vec<String>),
    Servers(Vec<SocketAddr>),
    Ranges(Vec<(IpAddr, u8)>),
    Count(i64),
    Span(Span),
}

impl Kind {
    /// What a person is told about the form of the value.
    pub fn hint(self) -> String {
        match self {
            Kind::Text => "one line of text".into(),
            Kind::Folder => "the absolute path of a folder, such as /var/lib/mailwright/archive".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::WebUrl => "a URL such as https://mail.shop.example".into(),
            Kind::Relay => "smtp://user:password@host:port?tls=none|opportunistic|required|implicit".into(),
            Kind::Domain => "a domain such as bounce.shop.example".into(),
            Kind::Mailbox => "an address such as news@shop.example".into(),
            Kind::Masks => "masks such as *@shop.example, separated by commas".into(),
            Kind::Listen => "an IP address and port such as 0.0.0.0:8080".into(),
            Kind::Servers => "IP addresses, with a port when it is not 53, separated by commas".into(),
            Kind::Ranges => "ranges such as 10.0.0.0/8, separated by commas".into(),
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Hours => "hours of the day such as 01:00-05:00, or 01:00-05:00 Europe/Paris".into(),
            Kind::Span { min, max } => format!("a length of time from {min} to {max}, such as 1h or 5d"),
        }
    }

    pub(super) fn parse(self, text: &str) -> Result<Parsed, String> {
        let text = text.trim();
        if text.len() > VALUE_LEN_MAX {
            return Err(format!("the value is longer than {VALUE_LEN_MAX} octets"));
        }
        if text.chars().any(char::is_control) {
            return Err("the value has a control character".into());
        }
        let form = || format!("expected {}", self.hint());
        Ok(match self {
            Kind::Text => Parsed::Text(text.into()),
            Kind::Folder if text.is_empty() || text.starts_with('/') => Parsed::Text(text.into()),
            Kind::Folder => return Err(form()),
            Kind::Choice(words) if words.contains(&text) => Parsed::Text(text.into()),
            Kind::Choice(_) => return Err(form()),
            Kind::WebUrl => Parsed::Text(web_url(text).ok_or_else(form)?),
            Kind::Relay => Parsed::Relay(Relay::parse(text)?),
            Kind::Domain => Parsed::Text(domain(text).ok_or_else(form)?),
            Kind::Mailbox => Parsed::Text(mailbox(text).ok_or_else(form)?),
            Kind::Masks => {
                Parsed::List(list(text, |mask| mailbox(mask).map(|m| m.to_lowercase())).ok_or_else(form)?)
            }
            Kind::Listen => Parsed::Text(text.parse::<SocketAddr>().map_err(|_| form())?.to_string()),
            Kind::Servers => Parsed::Servers(list(text, server).ok_or_else(form)?),
            Kind::Ranges => Parsed::Ranges(list(text, range).ok_or_else(form)?),
            Kind::Count { min, max } => {
                let count: i64 = text.parse().map_err(|_| form())?;
                if !(min..=max).contains(&count) {
                    return Err(form());
                }
                Parsed::Count(count)
            }
            Kind::Hours if text.is_empty() || is_hours(text) => Parsed::Text(text.into()),
            Kind::Hours => return Err(form()),
            Kind::Span { min, max } => {
                let span: Span = text.parse().map_err(|_| form())?;
                if span < min || span > max {
                    return Err(form());
                }
                Parsed::Span(span)
            }
        })
    }
}

fn is_hours(text: &str) -> bool {
    let (hours, zone) = text.split_once(' ').unwrap_or((text, "UTC"));
    hours.parse::<store::DayHours>().is_ok() && jiff::tz::TimeZone::get(zone.trim()).is_ok()
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > LIST_LEN_MAX {
        return None;
    }
    parts.into_iter().map(item).collect()
}

/// Without the closing slash, so that paths can be appended.
fn web_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain.then(|| url.as_str().trim_end_matches('/').to_string())
}

/// Names as the DNS has them: letters, digits, hyphens, dots (RFC 1123 section 2.1); other scripts in their IDNA form.
fn domain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (text.len() <= 253 && text.split('.').all(label)).then_some(text)
}

/// Only what a mistake looks like; the grammar itself is the `address` crate's.
fn mailbox(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    (!local.is_empty() && !domain.is_empty() && !domain.contains(' ') && text.len() <= 400)
        .then(|| text.to_string())
}

fn server(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)))
}

fn range(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = ip.parse().ok()?;
    let widest = if ip.is_ipv4() { 32 } else { 128 };
    let bits = if bits.is_empty() && !text.contains('/') { widest } else { bits.parse().ok()? };
    (bits <= widest).then_some((ip, bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_checked() {
        let good = [
            (Kind::WebUrl, "https://mail.example/"),
            (Kind::Servers, "127.0.0.1:5353, ::1"),
            (Kind::Ranges, "127.0.0.0/8,10.1.2.3"),
            (Kind::Listen, "[::]:80"),
            (Kind::Domain, "Bounce.Shop.Example."),
            (Kind::Masks, ""),
            (Kind::Folder, "/var/archive"),
            (Kind::Choice(&["none", "zip"]), "zip"),
        ];
        for (kind, text) in good {
            assert!(kind.parse(text).is_ok(), "{text}");
        }
        let bad = [
            (Kind::WebUrl, "mail.example"),
            (Kind::WebUrl, "https://u:p@h"),
            (Kind::WebUrl, "https://h/?q"),
            (Kind::Servers, "dns.example"),
            (Kind::Ranges, "127.0.0.0/33"),
            (Kind::Ranges, "127.0.0.0/"),
            (Kind::Listen, "80"),
            (Kind::Domain, "-x.example"),
            (Kind::Mailbox, "shop.example"),
            (Kind::Text, "two\nlines"),
            (Kind::Folder, "archive"),
            (Kind::Choice(&["none", "zip"]), "gzip"),
            (Kind::Count { min: 1, max: 5 }, "6"),
            (Kind::Span { min: Span::from_seconds(1), max: Span::from_days(1) }, "2d"),
            (Kind::Hours, "1-5"),
            (Kind::Hours, "01:00-05:00 Nowhere/City"),
            (Kind::Hours, "01:00-01:00"),
        ];
        for (kind, text) in bad {
            assert!(kind.parse(text).is_err(), "{kind:?} {text}");
        }
        assert_eq!(
            Kind::WebUrl.parse("https://h.example/x/"),
            Ok(Parsed::Text("https://h.example/x".into()))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            for kind in [Kind::WebUrl, Kind::Relay, Kind::Domain, Kind::Mailbox, Kind::Masks, Kind::Servers, Kind::Ranges] {
                let _ = kind.parse(&text);
            }
        }
    }
}
