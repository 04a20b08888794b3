//! How receivers shake hands.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Identity, KeyKind, Quality};

/// What receivers answer STARTTLS with.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    identity: Arc<Identity>,
}

impl Tls {
    /// Makes a certificate for these host names, new at each start, signed by nobody, as many MX hosts have it.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn self_signed(hosts: &[String]) -> io::Result<Tls> {
        Tls::of(Authority::new()?.issue(hosts, Quality::SelfSigned, KeyKind::Ecdsa)?)
    }

    /// Shows this certificate.
    ///
    /// # Errors
    /// When the key does not belong to it.
    pub fn of(identity: Identity) -> io::Result<Tls> {
        let own = std::iter::once(&identity.certificate);
        let chain = own.chain(&identity.authority).map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(io::Error::other)?;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), identity: Arc::new(identity) })
    }

    /// The certificate in DER, for tests that want to trust it.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.identity.certificate
    }

    /// The certificate with everything that belongs to it.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
