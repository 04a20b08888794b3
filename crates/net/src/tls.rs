//! TLS toward servers, after STARTTLS or from the first octet.
//!
//! Opportunistic TLS takes any certificate: without DANE or MTA-STS the alternative is clear text, which is worse
//! (RFC 7435). What else a certificate can have to be is a [`Demand`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::dane;
use crate::dns::Tlsa;

/// A connection under TLS.
pub type TlsStream<S> = tokio_rustls::client::TlsStream<S>;

/// What a server's certificate must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Anything: the connection is private from who only listens.
    Any,
    /// Valid: a chain to a public root, and the name. A configured relay, a web server.
    Name,
    /// Valid, because the domain's MTA-STS policy enforces it (RFC 8461 section 4.2).
    Sts,
    /// Anything, but [`Secured::fault`] says what is wrong with it: an MTA-STS policy in testing (RFC 8461 section 5).
    StsTesting,
    /// One that these usable records of the DNS name (RFC 7672). `names`: what a certificate below a DANE-TA anchor may be
    /// made out to besides `base`.
    Dane {
        /// The name that the records stand under. It is said in the handshake instead of the host's (RFC 7672 section 8.1).
        base: String,
        /// Usable ones ([`dane_usable`](crate::dane_usable)).
        records: Arc<[Tlsa]>,
        /// The recipient's domain, when the connection serves one.
        names: Vec<String>,
    },
}

/// Why a certificate was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proven {
    /// It was not looked at.
    None,
    /// By a public root and the host's name.
    Name,
    /// The same, because MTA-STS demands it.
    Sts,
    /// By the DNS.
    Dane,
}

impl Proven {
    /// As logs and tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Proven::None => "none",
            Proven::Name => "name",
            Proven::Sts => "sts",
            Proven::Dane => "dane",
        }
    }
}

/// How a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Secured {
    /// `TLSv1.3` or `TLSv1.2`.
    pub protocol: &'static str,
    /// IANA's name of the cipher suite.
    pub cipher: &'static str,
    /// SHA-256 of the server's own certificate.
    pub certificate: [u8; 32],
    /// Why it was believed.
    pub by: Proven,
    /// [`Demand::StsTesting`] alone: what would have been refused.
    pub fault: Option<(TlsFault, String)>,
}

/// What was wrong, in the words of RFC 8460 section 4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// The server offers no STARTTLS, or refused it.
    StarttlsNotSupported,
    /// Made out to other names.
    CertificateHostMismatch,
    /// Out of date.
    CertificateExpired,
    /// By no authority that we know.
    CertificateNotTrusted,
    /// Something else in the handshake.
    ValidationFailure,
    /// No TLSA record names the certificate.
    TlsaInvalid,
    /// DNSSEC failed, or the records could not be had.
    DnssecInvalid,
    /// The MTA-STS policy could not be fetched.
    StsPolicyFetchError,
    /// The MTA-STS policy cannot be read.
    StsPolicyInvalid,
    /// The web server of the MTA-STS policy has no valid certificate.
    StsWebpkiInvalid,
}

impl TlsFault {
    /// Whether it is one of an MTA-STS policy itself (RFC 8460 section 4.3.2.2).
    pub fn is_of_sts(self) -> bool {
        matches!(
            self,
            TlsFault::StsPolicyFetchError | TlsFault::StsPolicyInvalid | TlsFault::StsWebpkiInvalid
        )
    }

    /// The result type, as reports write it.
    pub fn name(self) -> &'static str {
        match self {
            TlsFault::StarttlsNotSupported => "starttls-not-supported",
            TlsFault::CertificateHostMismatch => "certificate-host-mismatch",
            TlsFault::CertificateExpired => "certificate-expired",
            TlsFault::CertificateNotTrusted => "certificate-not-trusted",
            TlsFault::ValidationFailure => "validation-failure",
            TlsFault::TlsaInvalid => "tlsa-invalid",
            TlsFault::DnssecInvalid => "dnssec-invalid",
            TlsFault::StsPolicyFetchError => "sts-policy-fetch-error",
            TlsFault::StsPolicyInvalid => "sts-policy-invalid",
            TlsFault::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The name cannot stand in a handshake.
    #[error("{0:?} is not a server name")]
    Name(String),
    /// Our own configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The handshake failed, by the certificate or by the protocol.
    #[error("{0}")]
    Handshake(std::io::Error),
    /// The certificate is none that the DNS names.
    #[error("the certificate is not the one that the domain's DANE records name")]
    Dane,
    /// No answer within the time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

impl TlsError {
    /// What a report calls it.
    pub fn fault(&self) -> TlsFault {
        match self {
            TlsError::Dane => TlsFault::TlsaInvalid,
            TlsError::Handshake(error) => match certificate_error(error) {
                Some(error) => fault_of(error),
                None => TlsFault::ValidationFailure,
            },
            TlsError::Name(_) | TlsError::Setup(_) | TlsError::Timeout(_) => TlsFault::ValidationFailure,
        }
    }
}

fn certificate_error(error: &std::io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

fn fault_of(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::CertificateHostMismatch
        }
        _ => TlsFault::CertificateNotTrusted,
    }
}

/// The client side, made once: it holds the sessions for resumption.
#[derive(Clone)]
pub struct Tls {
    opportunistic: TlsConnector,
    verified: TlsConnector,
    webpki: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    /// With the public roots compiled in, and `extra_roots` (a company's own).
    pub fn new(extra_roots: &[CertificateDer<'static>]) -> Result<Tls, TlsError> {
        let provider = Arc::new(provider::default_provider());
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            roots.add(root.clone())?;
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let any = AnyCertificate { provider: Arc::clone(&provider) };
        let opportunistic = config(&provider, Arc::new(any))?;
        let verified = config(&provider, Arc::clone(&webpki) as Arc<dyn ServerCertVerifier>)?;
        Ok(Tls {
            opportunistic: Arc::new(opportunistic).into(),
            verified: Arc::new(verified).into(),
            webpki,
            provider,
        })
    }

    /// Does the handshake on a connection. `name` is the host name that was looked up (or an address); with
    /// [`Demand::Dane`] the demand has its own.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        demand: &Demand,
        name: &str,
        stream: S,
        timeout: Duration,
    ) -> Result<(TlsStream<S>, Secured), TlsError> {
        let name = match demand {
            Demand::Dane { base, .. } => base,
            _ => name,
        };
        let server_name = ServerName::try_from(name.trim_end_matches('.'))
            .map_err(|_| TlsError::Name(name.to_owned()))?
            .to_owned();
        let observed = Arc::default();
        let special;
        let connector = match demand {
            Demand::Any => &self.opportunistic,
            Demand::Name | Demand::Sts => &self.verified,
            Demand::StsTesting => {
                special = self.special(Arc::new(Tested {
                    webpki: Arc::clone(&self.webpki),
                    any: AnyCertificate { provider: Arc::clone(&self.provider) },
                    observed: Arc::clone(&observed),
                }))?;
                &special
            }
            Demand::Dane { records, names, .. } => {
                special = self.special(Arc::new(Dane {
                    records: Arc::clone(records),
                    names: names.clone(),
                    provider: Arc::clone(&self.provider),
                }))?;
                &special
            }
        };
        let stream = tokio::time::timeout(timeout, connector.connect(server_name, stream))
            .await
            .map_err(|_| TlsError::Timeout(timeout))?
            .map_err(|error| match certificate_error(&error) {
                Some(CertificateError::ApplicationVerificationFailure) => TlsError::Dane,
                _ => TlsError::Handshake(error),
            })?;
        let fault = observed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let secured = secured(stream.get_ref().1, demand, fault);
        Ok((stream, secured))
    }

    /// For one connection: a session that was resumed would skip the check.
    fn special(&self, verifier: Arc<dyn ServerCertVerifier>) -> Result<TlsConnector, TlsError> {
        let mut config = config(&self.provider, verifier)?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config).into())
    }
}

/// Certificates of a PEM file, for [`Tls::new`].
///
/// # Errors
/// The file cannot be read, or something in it is no certificate.
pub fn read_roots(file: &std::path::Path) -> std::io::Result<Vec<CertificateDer<'static>>> {
    use rustls::pki_types::pem::PemObject;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&std::fs::read(file)?).collect();
    found.map_err(std::io::Error::other)
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn secured(connection: &ClientConnection, demand: &Demand, fault: Observed) -> Secured {
    let end_entity = connection.peer_certificates().and_then(<[_]>::first);
    let mut certificate = [0; 32];
    if let Some(end_entity) = end_entity {
        certificate.copy_from_slice(digest::digest(&digest::SHA256, end_entity).as_ref());
    }
    let by = match demand {
        Demand::Any => Proven::None,
        Demand::Name => Proven::Name,
        Demand::StsTesting if fault.is_some() => Proven::None,
        Demand::Sts | Demand::StsTesting => Proven::Sts,
        Demand::Dane { .. } => Proven::Dane,
    };
    Secured {
        protocol: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            // The configuration offers no other.
            _ => "TLS",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown"),
        certificate,
        by,
        fault,
    }
}

/// What was found to be wrong without being refused.
type Observed = Option<(TlsFault, String)>;

/// Takes any certificate.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Certificates that are not X.509 version 3 are still met on mail servers, and the library refuses to take a key
    // out of them; so the signatures are not checked either.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes any certificate, and remembers what is wrong with it.
#[derive(Debug)]
struct Tested {
    webpki: Arc<WebPkiServerVerifier>,
    any: AnyCertificate,
    observed: Arc<Mutex<Observed>>,
}

impl ServerCertVerifier for Tested {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if let Err(error) = verified {
            let fault = match &error {
                rustls::Error::InvalidCertificate(error) => fault_of(error),
                _ => TlsFault::CertificateNotTrusted,
            };
            *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = Some((fault, error.to_string()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}

/// Takes what the DNS names.
#[derive(Debug)]
struct Dane {
    records: Arc<[Tlsa]>,
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Dane {
    /// A chain to an anchor that the records name, made out to the host or to one of the other names.
    fn chains(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        // One that cannot be read as a certificate vouches for nobody.
        roots.add_parsable_certificates(dane::anchors(&self.records, intermediates));
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        // Without any anchor there is none.
        let Ok(verifier) = verifier else { return false };
        let others = self.names.iter().filter_map(|name| ServerName::try_from(name.as_str()).ok());
        std::iter::once(server_name.clone())
            .chain(others)
            .any(|name| verifier.verify_server_cert(end_entity, intermediates, &name, &[], now).is_ok())
    }
}

impl ServerCertVerifier for Dane {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let named = dane::names_end_entity(&self.records, end_entity)
            || self.chains(end_entity, intermediates, server_name, now);
        if named {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    // The certificate proves something only of who holds its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const WAIT: Duration = Duration::from_secs(5);

    fn certificate(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
    }

    fn mx() -> CertificateDer<'static> {
        certificate(include_str!("../tests/certs/mx.pem"))
    }

    fn root() -> CertificateDer<'static> {
        certificate(include_str!("../tests/certs/root.pem"))
    }

    /// A server for `mx.example` whose certificate comes from our test root (which it sends along), over a pipe.
    async fn served(tls: &Tls, demand: &Demand, name: &str) -> Result<Secured, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tests/certs/mx.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![mx(), root()], key))
            .expect("a server");
        let (ours, theirs) = tokio::io::duplex(64 * 1_024);
        let server = tokio::spawn(async move {
            let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(theirs).await?;
            stream.write_all(b"220 hello").await?;
            stream.shutdown().await
        });
        let mut text = String::new();
        let (mut stream, secured) = tls.connect(demand, name, ours, WAIT).await?;
        stream.read_to_string(&mut text).await.map_err(TlsError::Handshake)?;
        server.await.expect("runs").map_err(TlsError::Handshake)?;
        assert_eq!(text, "220 hello");
        Ok(secured)
    }

    fn public() -> Tls {
        Tls::new(&[]).expect("set up")
    }

    #[tokio::test]
    async fn any_takes_every_certificate_and_name_only_the_right_one() {
        let company = Tls::new(&[root()]).expect("set up");
        let secured = served(&public(), &Demand::Any, "other.example").await.expect("any");
        assert_eq!((secured.protocol, secured.by, secured.fault), ("TLSv1.3", Proven::None, None));
        assert!(secured.cipher.starts_with("TLS13_"), "{}", secured.cipher);
        served(&public(), &Demand::Any, "192.0.2.1").await.expect("any");
        let secured = served(&company, &Demand::Name, "mx.example").await.expect("right");
        assert_eq!(secured.by, Proven::Name);
        assert_eq!(secured.certificate, digest::digest(&digest::SHA256, &mx()).as_ref());
        assert_eq!(served(&company, &Demand::Sts, "mx.example").await.expect("right").by, Proven::Sts);
        for (tls, name, fault) in [
            (public(), "mx.example", TlsFault::CertificateNotTrusted),
            (company.clone(), "other.example", TlsFault::CertificateHostMismatch),
        ] {
            let refused = served(&tls, &Demand::Name, name).await.expect_err("refused");
            assert!(matches!(refused, TlsError::Handshake(_)));
            assert_eq!(refused.fault(), fault);
        }
        assert!(matches!(served(&company, &Demand::Name, "not a name").await, Err(TlsError::Name(_))));
    }

    #[tokio::test]
    async fn rfc_8461_5_a_policy_in_testing_takes_every_certificate_and_tells_what_is_wrong() {
        let secured = served(&public(), &Demand::StsTesting, "mx.example").await.expect("any");
        assert_eq!(secured.by, Proven::None);
        assert_eq!(secured.fault.expect("told").0, TlsFault::CertificateNotTrusted);
        let company = Tls::new(&[root()]).expect("set up");
        let secured = served(&company, &Demand::StsTesting, "mx.example").await.expect("right");
        assert_eq!((secured.by, secured.fault), (Proven::Sts, None));
    }

    fn dane(usage: u8, of: &CertificateDer<'_>) -> Tlsa {
        let key = dane::public_key(of).expect("has one");
        let data = digest::digest(&digest::SHA256, key).as_ref().to_vec();
        Tlsa { usage, selector: 1, matching: 1, data }
    }

    /// Records under this name.
    fn demand(base: &str, records: &[Tlsa]) -> Demand {
        let names = vec!["shop.example".to_owned()];
        Demand::Dane { base: base.to_owned(), records: records.into(), names }
    }

    #[tokio::test]
    async fn rfc_7672_3_2_dane_takes_what_the_records_name_and_nothing_else() {
        let tls = public();
        let wrong = Tlsa { data: vec![7; 32], ..dane(3, &mx()) };
        // An end entity may be made out to anybody (RFC 7671 section 5.1).
        for name in ["mx.example", "other.example"] {
            let demand = demand(name, &[wrong.clone(), dane(3, &mx())]);
            let secured = served(&tls, &demand, name).await.expect("named");
            assert_eq!(secured.by, Proven::Dane);
        }
        // Below a trust anchor the name counts.
        served(&tls, &demand("mx.example", &[dane(2, &root())]), "mx.example").await.expect("named");
        // The name that counts is the one that the records stand under (RFC 7672 section 3.2.2).
        served(&tls, &demand("mx.example", &[dane(2, &root())]), "alias.example").await.expect("named");
        let in_full = Tlsa { usage: 2, selector: 0, matching: 0, data: root().to_vec() };
        served(&tls, &demand("mx.example", &[in_full]), "mx.example").await.expect("named in full");
        for (records, name) in [
            (vec![wrong], "mx.example"),
            (vec![dane(2, &root())], "other.example"),
            (vec![dane(3, &root())], "mx.example"),
            (vec![dane(2, &mx())], "mx.example"),
        ] {
            let refused = served(&tls, &demand(name, &records), name).await.expect_err("refused");
            assert!(matches!(refused, TlsError::Dane), "{refused}");
            assert_eq!(refused.fault(), TlsFault::TlsaInvalid);
        }
    }

    #[tokio::test]
    async fn a_silent_or_foreign_server_gives_an_error() {
        let tls = public();
        let (ours, _theirs) = tokio::io::duplex(64);
        let short = Duration::from_millis(20);
        let silent = tls.connect(&Demand::Any, "mx.example", ours, short).await;
        assert!(matches!(silent, Err(TlsError::Timeout(_))));
        let (ours, mut theirs) = tokio::io::duplex(64 * 1_024);
        theirs.write_all(b"454 TLS not available\r\n").await.expect("written");
        let foreign = tls.connect(&Demand::Any, "mx.example", ours, WAIT).await;
        assert!(matches!(foreign, Err(TlsError::Handshake(_))));
    }
}
