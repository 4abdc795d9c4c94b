//! TLS: whose certificates are believed, and how the gateway proves who it is. One provider for both, aws-lc.

mod roots;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};

pub use roots::{TlsRoots, TlsRootsError};

use crate::clock::Timestamp;

/// The certificate and key of the public address, ready to use.
#[derive(Clone)]
pub struct TlsIdentity {
    chain: Arc<[CertificateDer<'static>]>,
    server: Arc<ServerConfig>,
}

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
            .with_single_cert(chain.clone(), key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { chain: chain.into(), server: Arc::new(config) })
    }

    /// What a listener needs.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// Whether the certificate's dates allow its use now.
    pub fn is_current(&self, now: Timestamp) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.0).unwrap_or_default()));
        let Some(Ok(certificate)) = self.chain.first().map(ParsedCertificate::try_from) else { return false };
        // Without an authority no certificate is good, but its dates are what is looked at first.
        let algorithms = default_provider().signature_verification_algorithms;
        let verified = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &RootCertStore::empty(),
            &[],
            now,
            algorithms.all,
        );
        !matches!(
            verified,
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            ))
        )
    }
}

/// The same certificate, and so the same key: another one would not fit it.
impl PartialEq for TlsIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn identity() -> Result<TlsIdentity, TlsIdentityError> {
        let (certificate, key) = pair();
        TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    /// A certificate of the year 2026, and its key.
    fn pair() -> (String, String) {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_current_between_its_dates() {
        let identity = identity().unwrap();
        let (begin, end) = (Timestamp(1_767_225_600), Timestamp(1_798_761_600));
        assert!(identity.is_current(begin) && identity.is_current(end));
        assert!(!identity.is_current(Timestamp(begin.0 - DAY)));
        assert!(!identity.is_current(Timestamp(end.0 + DAY)));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let ((certificate, _), (_, key)) = (pair(), pair());
        let mixed = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes());
        assert!(matches!(mixed, Err(TlsIdentityError::Tls(_))));
        assert!(identity().unwrap() != identity().unwrap());
    }
}
