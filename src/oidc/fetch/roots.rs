//! Whose certificates are believed when keys are fetched.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A set of certificate authorities, ready to use. Cheap to clone.
#[derive(Clone)]
pub struct TlsRoots {
    certificates: Arc<[CertificateDer<'static>]>,
    client: Arc<ClientConfig>,
}

/// Why there are no authorities to trust.
#[derive(Debug, thiserror::Error)]
pub enum TlsRootsError {
    /// The text is not PEM.
    #[error("not a PEM file of certificates: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// There is no certificate in it that can be trusted for anything.
    #[error("no usable certificate authority found")]
    None,
    /// The TLS library will not have it.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl TlsRoots {
    /// The authorities that the system trusts.
    pub fn system() -> Result<Self, TlsRootsError> {
        Self::new(rustls_native_certs::load_native_certs().certs)
    }

    /// Exactly the authorities in a PEM file (`ca_file`), instead of the system's.
    pub fn from_pem(text: &[u8]) -> Result<Self, TlsRootsError> {
        Self::new(CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>()?)
    }

    fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TlsRootsError> {
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 {
            return Err(TlsRootsError::None);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self { certificates: certificates.into(), client: Arc::new(client) })
    }

    pub(super) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}

impl PartialEq for TlsRoots {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsRoots({} certificates)", self.certificates.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_trusts_nobody_and_says_so() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(TlsRoots::from_pem(text.as_bytes()).is_err(), "{text}");
        }
    }
}
