//! The receivers' certificate: new at each start, signed by nobody, as many MX hosts have it.
//!
//! `rcgen` writes it. Alternatives weighed: a certificate kept in the source would put a private key into the
//! repository and expire; writing X.509 by hand on top of aws-lc-rs is 150 lines of DER for a test double.

use std::io;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What receivers answer STARTTLS with.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    certificate: CertificateDer<'static>,
}

impl Tls {
    /// Makes a certificate for these host names.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn self_signed(hosts: &[String]) -> io::Result<Tls> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(hosts.to_vec()).map_err(io::Error::other)?;
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .map_err(io::Error::other)?;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// The certificate in DER, for tests that want to trust it.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}
