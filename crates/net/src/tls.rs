//! TLS toward servers, after STARTTLS or from the first octet.
//!
//! Opportunistic TLS takes any certificate: without DANE or MTA-STS the alternative is clear text, which is worse
//! (RFC 7435). Verified TLS demands a chain to a public root and the right name; a configured relay uses it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// A connection under TLS.
pub type TlsStream<S> = tokio_rustls::client::TlsStream<S>;

/// How much of the server's certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Nothing of it.
    Opportunistic,
    /// A chain to a public root, and the name.
    Verified,
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
    /// No answer within the time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// The client side, made once: it holds the sessions for resumption.
#[derive(Clone)]
pub struct Tls {
    opportunistic: TlsConnector,
    verified: TlsConnector,
}

impl Tls {
    /// With the public roots compiled in, and `extra_roots` (a company's own).
    pub fn new(extra_roots: &[CertificateDer<'static>]) -> Result<Tls, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            roots.add(root.clone())?;
        }
        let verified = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let opportunistic = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth();
        Ok(Tls { opportunistic: Arc::new(opportunistic).into(), verified: Arc::new(verified).into() })
    }

    /// Does the handshake on a connection. `name` is the host name that was looked up (or an address).
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mode: TlsMode,
        name: &str,
        stream: S,
        timeout: Duration,
    ) -> Result<TlsStream<S>, TlsError> {
        let server_name = ServerName::try_from(name.trim_end_matches('.'))
            .map_err(|_| TlsError::Name(name.to_owned()))?
            .to_owned();
        let connector = match mode {
            TlsMode::Opportunistic => &self.opportunistic,
            TlsMode::Verified => &self.verified,
        };
        tokio::time::timeout(timeout, connector.connect(server_name, stream))
            .await
            .map_err(|_| TlsError::Timeout(timeout))?
            .map_err(TlsError::Handshake)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

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

    /// A server for `mx.example` whose certificate comes from our test root, over a pipe.
    async fn served(tls: &Tls, mode: TlsMode, name: &str) -> Result<String, TlsError> {
        let chain = vec![certificate(include_str!("../tests/certs/mx.pem"))];
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tests/certs/mx.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .expect("a server");
        let (ours, theirs) = tokio::io::duplex(64 * 1_024);
        let server = tokio::spawn(async move {
            let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(theirs).await?;
            stream.write_all(b"220 hello").await?;
            stream.shutdown().await
        });
        let mut text = String::new();
        let mut stream = tls.connect(mode, name, ours, WAIT).await?;
        stream.read_to_string(&mut text).await.map_err(TlsError::Handshake)?;
        server.await.expect("runs").map_err(TlsError::Handshake)?;
        Ok(text)
    }

    #[tokio::test]
    async fn opportunistic_takes_any_certificate_and_verified_only_the_right_one() {
        let public = Tls::new(&[]).expect("set up");
        let company = Tls::new(&[certificate(include_str!("../tests/certs/root.pem"))]).expect("set up");
        assert_eq!(served(&public, TlsMode::Opportunistic, "other.example").await.expect("any"), "220 hello");
        assert_eq!(served(&public, TlsMode::Opportunistic, "192.0.2.1").await.expect("any"), "220 hello");
        assert_eq!(served(&company, TlsMode::Verified, "mx.example").await.expect("right"), "220 hello");
        assert!(matches!(
            served(&public, TlsMode::Verified, "mx.example").await,
            Err(TlsError::Handshake(_))
        ));
        assert!(matches!(
            served(&company, TlsMode::Verified, "other.example").await,
            Err(TlsError::Handshake(_))
        ));
        assert!(matches!(served(&company, TlsMode::Verified, "not a name").await, Err(TlsError::Name(_))));
    }

    #[tokio::test]
    async fn a_silent_or_foreign_server_gives_an_error() {
        let tls = Tls::new(&[]).expect("set up");
        let (ours, _theirs) = tokio::io::duplex(64);
        let short = Duration::from_millis(20);
        let silent = tls.connect(TlsMode::Opportunistic, "mx.example", ours, short).await;
        assert!(matches!(silent, Err(TlsError::Timeout(_))));
        let (ours, mut theirs) = tokio::io::duplex(64 * 1_024);
        theirs.write_all(b"454 TLS not available\r\n").await.expect("written");
        let foreign = tls.connect(TlsMode::Opportunistic, "mx.example", ours, WAIT).await;
        assert!(matches!(foreign, Err(TlsError::Handshake(_))));
    }
}
