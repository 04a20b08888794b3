//! DANE for SMTP (RFC 7672, over RFC 6698 and RFC 7671): a certificate is right because a signed zone says so.
//!
//! Only DANE-TA(2) and DANE-EE(3) count (RFC 7672 section 3.1.3): the names that the public certificate authorities vouch
//! for say nothing about who takes a domain's mail.

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;

use crate::dns::Tlsa;

const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;
const CERTIFICATE: u8 = 0;
const PUBLIC_KEY: u8 = 1;
const IN_FULL: u8 = 0;
const SHA_256: u8 = 1;
const SHA_512: u8 = 2;

/// The records that a certificate can be compared with. None of a host's being usable means TLS with any certificate
/// (RFC 7672 section 2.2), which is not the same as there being none.
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    records.iter().filter(|tlsa| is_usable(tlsa)).cloned().collect()
}

fn is_usable(tlsa: &Tlsa) -> bool {
    let octets = match tlsa.matching {
        IN_FULL => !tlsa.data.is_empty(),
        SHA_256 => tlsa.data.len() == 32,
        SHA_512 => tlsa.data.len() == 64,
        _ => false,
    };
    octets && matches!(tlsa.usage, DANE_TA | DANE_EE) && matches!(tlsa.selector, CERTIFICATE | PUBLIC_KEY)
}

/// Whether the server's own certificate is one that a DANE-EE record names. Neither its names nor its dates count (RFC
/// 7671 section 5.1).
pub(crate) fn names_end_entity(records: &[Tlsa], end_entity: &CertificateDer<'_>) -> bool {
    records.iter().any(|tlsa| tlsa.usage == DANE_EE && matches(tlsa, end_entity))
}

/// The certificates that DANE-TA records make trust anchors: those of the chain that they name, and those that stand in
/// the DNS in full (RFC 7671 section 5.2).
pub(crate) fn anchors(records: &[Tlsa], chain: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
    let mut anchors: Vec<CertificateDer<'static>> = Vec::new();
    for tlsa in records.iter().filter(|tlsa| tlsa.usage == DANE_TA) {
        let named = chain.iter().filter(|certificate| matches(tlsa, certificate));
        anchors.extend(named.map(|certificate| certificate.clone().into_owned()));
        if (tlsa.selector, tlsa.matching) == (CERTIFICATE, IN_FULL) {
            anchors.push(CertificateDer::from(tlsa.data.clone()));
        }
    }
    anchors
}

fn matches(tlsa: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match tlsa.selector {
        CERTIFICATE => Some(certificate.as_ref()),
        PUBLIC_KEY => public_key(certificate),
        _ => None,
    };
    let Some(selected) = selected else { return false };
    match tlsa.matching {
        IN_FULL => selected == tlsa.data,
        SHA_256 => digest::digest(&digest::SHA256, selected).as_ref() == tlsa.data,
        SHA_512 => digest::digest(&digest::SHA512, selected).as_ref() == tlsa.data,
        _ => false,
    }
}

/// The SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1), octet for octet. Read by hand because certificates
/// of version 1, which mail servers still show, are refused by the library, and DANE-EE does not care for the rest.
pub(crate) fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (outer, _) = element(certificate.as_ref(), SEQUENCE)?;
    let (mut rest, _) = element(outer.content, SEQUENCE).map(|(tbs, after)| (tbs.content, after))?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    // Serial number, signature algorithm, issuer, validity, subject.
    for tag in [0x02, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    Some(element(rest, SEQUENCE)?.0.whole)
}

/// One value of DER.
struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// The first value, of that tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut len = usize::from(first);
    if first & 0x80 != 0 {
        let octets = usize::from(first & 0x7f);
        // Four octets of length are 4 GB: more than any handshake carries.
        let (digits, after) = rest.split_at_checked(octets).filter(|_| (1..=4).contains(&octets))?;
        len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(len)?;
    let whole = bytes.get(..bytes.len() - after.len())?;
    (found == tag).then_some((Element { whole, content }, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

    fn certificate(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
    }

    fn mx() -> CertificateDer<'static> {
        certificate(include_str!("../tests/certs/mx.pem"))
    }

    /// `usage selector matching hex`.
    fn tlsa(text: &str) -> Tlsa {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words[at].parse().expect("a number");
        let data = (0..words[3].len()).step_by(2);
        let data = data.map(|at| u8::from_str_radix(&words[3][at..at + 2], 16).expect("hex")).collect();
        Tlsa { usage: number(0), selector: number(1), matching: number(2), data }
    }

    /// The data of these records were computed with `openssl x509 -pubkey | openssl pkey -pubin -outform DER |
    /// openssl dgst`, see tests/certs/README.md.
    #[test]
    fn rfc_6698_2_1_records_name_certificates_as_openssl_computes_them() {
        let records = include_str!("../tests/certs/mx.tlsa");
        for line in records.lines().filter(|line| !line.is_empty()) {
            let record = tlsa(line);
            assert!(is_usable(&record), "{line}");
            assert!(matches(&record, &mx()), "{line}");
            assert!(!matches(&record, &certificate(include_str!("../tests/certs/root.pem"))), "{line}");
            let mut other = record;
            other.data[0] ^= 1;
            assert!(!matches(&other, &mx()), "{line} with another first octet");
        }
        assert_eq!(records.lines().count(), 6);
    }

    #[test]
    fn rfc_7672_3_1_3_only_records_of_these_forms_are_usable() {
        let zeros = |count: usize| "00".repeat(count);
        for (text, is) in [
            (format!("3 1 1 {}", zeros(32)), true),
            (format!("2 0 2 {}", zeros(64)), true),
            (format!("3 1 1 {}", zeros(31)), false),
            (format!("3 1 2 {}", zeros(32)), false),
            (format!("3 0 0 {}", zeros(1)), true),
            ("3 0 0 ".to_owned(), false),
            (format!("3 1 3 {}", zeros(32)), false),
            (format!("3 2 1 {}", zeros(32)), false),
            (format!("0 1 1 {}", zeros(32)), false),
            (format!("1 1 1 {}", zeros(32)), false),
            (format!("255 1 1 {}", zeros(32)), false),
        ] {
            assert_eq!(usable(&[tlsa(&text)]).len(), usize::from(is), "{text}");
        }
    }

    #[test]
    fn damaged_certificates_have_no_key_and_break_nothing() {
        let whole = mx();
        for len in 0..whole.len() {
            // No length within is right once the end is missing, except where the key lies before the cut and the outer
            // lengths are not looked at; those are looked at first.
            assert_eq!(public_key(&CertificateDer::from(&whole[..len])), None, "{len}");
        }
        for at in 0..whole.len().min(600) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0xff;
            let _ = public_key(&CertificateDer::from(bytes));
        }
    }
}
