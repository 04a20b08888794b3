//! An authority of the simulated internet, and the certificates that it hands out: good ones, and those that a sender
//! has to refuse when it was told to look.
//!
//! `rcgen` writes them. Alternatives weighed: certificates kept in the source would put private keys into the
//! repository and expire; writing X.509 by hand on top of aws-lc-rs is 150 lines of DER for a test double.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, PublicKeyData, date_time_ymd,
};

/// What is wrong with a certificate, if anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quality {
    /// Signed by nobody but itself, as many MX hosts have it.
    #[default]
    SelfSigned,
    /// Signed by the authority for the names asked for, valid now.
    Good,
    /// The same, valid until some years ago.
    Expired,
    /// Signed by the authority for `elsewhere.example`.
    WrongName,
}

/// The kind of key in a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA over P-256.
    #[default]
    Ecdsa,
    /// RSA, 2,048 bits.
    Rsa,
}

/// Who signs. A new one at each start.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// In DER; the end entity's own.
    pub certificate: Vec<u8>,
    /// The authority's in DER, when it signed.
    pub authority: Option<Vec<u8>>,
    /// PKCS #8 in DER.
    pub key: Vec<u8>,
    /// SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
}

impl Authority {
    /// An authority that nobody knows yet.
    ///
    /// # Errors
    /// When a key cannot be made.
    pub fn new() -> io::Result<Authority> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Simulated Internet Authority");
        let certificate = params.self_signed(&key).map_err(io::Error::other)?.der().to_vec();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// Its own certificate in DER: a root for whoever is to trust it.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The same as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A certificate for these hosts.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or a key cannot be made.
    pub fn issue(&self, hosts: &[String], quality: Quality, kind: KeyKind) -> io::Result<Identity> {
        let names = match quality {
            Quality::WrongName => vec!["elsewhere.example".to_owned()],
            _ => hosts.to_vec(),
        };
        let algorithm = match kind {
            KeyKind::Ecdsa => &PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa => &PKCS_RSA_SHA256,
        };
        let key = KeyPair::generate_for(algorithm).map_err(io::Error::other)?;
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        if let Some(host) = hosts.first() {
            params.distinguished_name.push(DnType::CommonName, host.as_str());
        }
        if quality == Quality::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let signed = match quality {
            Quality::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let certificate = signed.map_err(io::Error::other)?.der().to_vec();
        let authority = (quality != Quality::SelfSigned).then(|| self.certificate.clone());
        Ok(Identity {
            certificate,
            authority,
            key: key.serialize_der(),
            public_key: key.subject_public_key_info(),
        })
    }
}

impl Identity {
    /// The chain as PEM, the end entity's certificate first.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        let own = pem("CERTIFICATE", &self.certificate);
        self.authority.iter().fold(own, |chain, der| chain + &pem("CERTIFICATE", der))
    }

    /// The key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// The data of a TLSA record `3 1 1`: SHA-256 of the public key (RFC 6698 section 2.1).
    #[must_use]
    pub fn tlsa_key(&self) -> Vec<u8> {
        digest(&SHA256, &self.public_key).as_ref().to_vec()
    }

    /// The data of a TLSA record `3 0 1` of the end entity's certificate.
    #[must_use]
    pub fn tlsa_certificate(&self) -> Vec<u8> {
        digest(&SHA256, &self.certificate).as_ref().to_vec()
    }
}

/// Lines of 64 characters (RFC 7468 section 2).
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|octet| char::from(*octet)));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn openssl(arguments: &[&str]) -> (bool, String) {
        let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text.into_owned())
    }

    /// What a program that was not written here says about each kind.
    #[test]
    fn openssl_trusts_the_good_and_refuses_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let authority = Authority::new().expect("an authority");
        std::fs::write(path("root.pem"), authority.pem()).expect("writes");
        for (quality, kind, good) in [
            (Quality::Good, KeyKind::Ecdsa, true),
            (Quality::Good, KeyKind::Rsa, true),
            (Quality::Expired, KeyKind::Ecdsa, false),
            (Quality::WrongName, KeyKind::Ecdsa, false),
            (Quality::SelfSigned, KeyKind::Ecdsa, false),
        ] {
            let identity = authority.issue(&["mx.p.example".to_owned()], quality, kind).expect("issues");
            std::fs::write(path("one.pem"), pem("CERTIFICATE", &identity.certificate)).expect("writes");
            let (root, one) = (path("root.pem"), path("one.pem"));
            let arguments = ["verify", "-CAfile", &root, "-verify_hostname", "mx.p.example", &one];
            let (verified, told) = openssl(&arguments);
            assert_eq!(verified, good, "{quality:?} {kind:?}: {told}");
            std::fs::write(path("key.pem"), identity.key_pem()).expect("writes");
            let (read, told) = openssl(&["pkey", "-in", &path("key.pem"), "-noout"]);
            assert!(read, "{told}");
        }
    }
}
