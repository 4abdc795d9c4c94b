//! TLS: whose certificates are believed, and how the gateway proves who it is. One provider for both, aws-lc.

mod roots;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use roots::{TlsRoots, TlsRootsError};

/// The certificate and key of the public address, ready to use.
#[derive(Clone)]
pub struct TlsIdentity(Arc<ServerConfig>);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsIdentityError {
    /// The certificate file is not PEM.
    #[error("the certificate file cannot be read: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// The certificate file is empty.
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    /// The key file is not PEM, or holds no key.
    #[error("the key file cannot be read: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// They do not fit together, or not to TLS.
    #[error("the certificate and the key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl TlsIdentity {
    /// From a certificate with its chain, and its private key.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsIdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(TlsIdentityError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsIdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsIdentityError::Key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// What a listener needs.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity")
    }
}
