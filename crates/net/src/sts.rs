//! MTA-STS (RFC 8461): what a domain says about TLS to its mail hosts, and how it is fetched. Pure but for [`fetch_sts`]; who
//! keeps policies and when they are looked at again is `routes`' business.

use std::time::Duration;

use thiserror::Error;

use crate::fetch::{FetchError, FetchLimits, Fetcher};
use crate::tls::{TlsError, TlsFault};

/// Octets of a policy (RFC 8461 section 3.3 suggests 64 kB).
pub const STS_SIZE_MAX: usize = 64 * 1_024;
/// Time to fetch one. RFC 8461 section 3.3 suggests a minute at most; here the first message to the domain waits for it.
pub const STS_TIME: Duration = Duration::from_secs(30);
/// Longest time that a policy is kept: a year (RFC 8461 section 3.2).
pub const STS_AGE_MAX_S: u32 = 31_557_600;
/// Host patterns kept of a policy.
pub const STS_HOSTS_MAX: usize = 200;
/// Length of an id (RFC 8461 section 3.1).
const ID_LEN_MAX: usize = 32;

/// What a sender does with a host that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StsMode {
    /// It is not delivered to.
    Enforce,
    /// It is delivered to, and reported.
    Testing,
    /// As if there were no policy.
    None,
}

impl StsMode {
    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            StsMode::Enforce => "enforce",
            StsMode::Testing => "testing",
            StsMode::None => "none",
        }
    }
}

/// A domain's policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StsPolicy {
    /// What is done with a host that does not fit.
    pub mode: StsMode,
    /// Names of mail hosts, lower case; `*.` in front stands for one label.
    pub mx: Vec<String>,
    /// How long it holds after it was fetched.
    pub max_age_s: u32,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StsError {
    /// It does not begin with `version: STSv1`, or has another version.
    #[error("the policy's version is not STSv1")]
    Version,
    /// No mode, or one that is not known.
    #[error("the policy has no mode that we know")]
    Mode,
    /// No age, or one that is no number.
    #[error("the policy does not say how long it holds")]
    Age,
    /// No host, where there must be one.
    #[error("the policy names no mail host")]
    Hosts,
}

/// Why there is no policy.
#[derive(Debug, Error)]
pub enum StsFetchError {
    /// It could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What is there cannot be read.
    #[error(transparent)]
    Policy(#[from] StsError),
    /// It is no text (RFC 8461 section 3.2).
    #[error("the policy is {0:?}, not text/plain")]
    ContentType(String),
}

impl StsFetchError {
    /// What a report calls it (RFC 8460 section 4.3.2.2).
    pub fn fault(&self) -> TlsFault {
        match self {
            StsFetchError::Fetch(FetchError::Tls(TlsError::Handshake(_))) => TlsFault::StsWebpkiInvalid,
            StsFetchError::Fetch(_) => TlsFault::StsPolicyFetchError,
            StsFetchError::Policy(_) | StsFetchError::ContentType(_) => TlsFault::StsPolicyInvalid,
        }
    }
}

/// Where the domain says that it has a policy, and which.
pub fn sts_name(domain: &str) -> String {
    format!("_mta-sts.{domain}")
}

/// The id in the texts of [`sts_name`]. None: the domain has no policy, also where several texts claim to be the one
/// (RFC 8461 section 3.1).
pub fn sts_id(texts: &[String]) -> Option<String> {
    let mut claiming = texts.iter().filter(|text| text.starts_with("v=STSv1;"));
    let text = claiming.next()?;
    if claiming.next().is_some() {
        return None;
    }
    let id = text.split(';').skip(1).find_map(|field| field.trim().strip_prefix("id="))?;
    let sound = (1..=ID_LEN_MAX).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    sound.then(|| id.to_owned())
}

impl StsPolicy {
    /// Reads a policy (RFC 8461 section 3.2). Fields that are not known are passed over; of a repeated field, except `mx`,
    /// the first counts.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn parse(text: &str) -> Result<StsPolicy, StsError> {
        let (mut version, mut mode, mut age) = (None, None, None);
        let mut mx = Vec::new();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match key.trim() {
                "version" => {
                    version.get_or_insert(value);
                }
                "mode" => {
                    mode.get_or_insert(value);
                }
                "max_age" => {
                    age.get_or_insert(value);
                }
                "mx" if mx.len() < STS_HOSTS_MAX => {
                    mx.push(value.trim_end_matches('.').to_ascii_lowercase());
                }
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(StsError::Version);
        }
        let mode = match mode {
            Some("enforce") => StsMode::Enforce,
            Some("testing") => StsMode::Testing,
            Some("none") => StsMode::None,
            _ => return Err(StsError::Mode),
        };
        let digits = age.filter(|age| !age.is_empty() && age.len() <= 10).ok_or(StsError::Age)?;
        if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(StsError::Age);
        }
        let max_age_s = digits.parse().unwrap_or(u32::MAX).min(STS_AGE_MAX_S);
        if mx.is_empty() && mode != StsMode::None {
            return Err(StsError::Hosts);
        }
        Ok(StsPolicy { mode, mx, max_age_s })
    }

    /// Whether a mail host is one of those that the policy names (RFC 8461 section 4.1).
    pub fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            None => *pattern == host,
        })
    }
}

/// Fetches a domain's policy: over HTTPS with a valid certificate for `mta-sts.` before the domain, without redirects
/// (RFC 8461 section 3.3). `port` is 443 outside of tests. Gives the policy and its text.
///
/// # Errors
/// Why there is none. A policy that was kept from before goes on holding then.
pub async fn fetch_sts(
    fetcher: &Fetcher,
    domain: &str,
    port: u16,
) -> Result<(StsPolicy, String), StsFetchError> {
    let url = format!("https://mta-sts.{domain}:{port}/.well-known/mta-sts.txt");
    let limits = FetchLimits { size_max: STS_SIZE_MAX, time: STS_TIME };
    let found = fetcher.get_text(&url, limits).await?;
    let kind = found.content_type.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/plain") {
        return Err(StsFetchError::ContentType(kind.to_owned()));
    }
    let text = String::from_utf8_lossy(&found.bytes).into_owned();
    Ok((StsPolicy::parse(&text)?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(texts: &[&str]) -> Option<String> {
        sts_id(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn rfc_8461_3_1_ids_are_read_from_exactly_one_record() {
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]), Some("20160831085700Z".to_owned()));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=1; x=y"]), Some("1".to_owned()));
        for texts in [
            &[][..],
            &["v=STSv1"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &["v=STSv1; id=123456789012345678901234567890123"],
            &["v=STSv2; id=1"],
            &["v=STSv1; id=1", "v=STSv1; id=2"],
        ] {
            assert_eq!(id(texts), None, "{texts:?}");
        }
    }

    #[test]
    fn rfc_8461_3_2_policies_are_read() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.NET\r\nnew: field\r\nmax_age: 604800\r\n";
        let policy = StsPolicy::parse(text).expect("valid");
        assert_eq!((policy.mode, policy.max_age_s), (StsMode::Enforce, 604_800));
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
        let none = StsPolicy::parse("version:STSv1\nmode:none\nmax_age:86400\n").expect("valid");
        assert_eq!((none.mode, none.mx.len()), (StsMode::None, 0));
        let long = "version: STSv1\nmode: testing\nmx: a.example\nmax_age: 9999999999";
        assert_eq!(StsPolicy::parse(long).expect("valid").max_age_s, STS_AGE_MAX_S);
        for (text, error) in [
            ("mode: enforce\nmx: a\nmax_age: 1", StsError::Version),
            ("version: STSv2\nmode: enforce\nmx: a\nmax_age: 1", StsError::Version),
            ("version: STSv1\nmx: a\nmax_age: 1", StsError::Mode),
            ("version: STSv1\nmode: strict\nmx: a\nmax_age: 1", StsError::Mode),
            ("version: STSv1\nmode: enforce\nmx: a", StsError::Age),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: soon", StsError::Age),
            ("version: STSv1\nmode: enforce\nmax_age: 1", StsError::Hosts),
            ("<html>", StsError::Version),
        ] {
            assert_eq!(StsPolicy::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn rfc_8461_4_1_a_star_stands_for_one_label() {
        let policy = StsPolicy {
            mode: StsMode::Enforce,
            mx: vec!["mx.example.com".to_owned(), "*.example.net".to_owned()],
            max_age_s: 1,
        };
        for host in ["mx.example.com", "MX.example.com.", "a.example.net"] {
            assert!(policy.allows(host), "{host}");
        }
        for host in
            ["example.net", "a.b.example.net", ".example.net", "mx.example.com.evil.example", "xexample.net"]
        {
            assert!(!policy.allows(host), "{host}");
        }
    }
}
