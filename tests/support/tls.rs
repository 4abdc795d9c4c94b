//! A certificate authority that lives as long as a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

use super::process::scratch_directory;

/// A throw-away authority and one certificate by it, for `127.0.0.1`, `::1` and `localhost`.
pub struct Authority {
    directory: TempDir,
    roots: RootCertStore,
}

impl Authority {
    /// Makes new keys and writes the certificates as PEM files.
    pub fn new() -> Arc<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "indexgate throw-away authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a P-256 key can be made");
        let certificate = params.self_signed(&key).expect("the parameters are complete");
        let authority = rcgen::Issuer::new(params, key);

        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let mut leaf = CertificateParams::new(names).expect("the names are valid");
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = KeyPair::generate().expect("a P-256 key can be made");
        let leaf = leaf.signed_by(&leaf_key, &authority).expect("the parameters are complete");

        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("it is an authority");
        let directory = scratch_directory();
        let write =
            |name, pem: String| fs::write(directory.path().join(name), pem).expect("it can be written");
        write("ca.pem", certificate.pem());
        write("cert.pem", leaf.pem());
        write("key.pem", leaf_key.serialize_pem());
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(directory.path().join("key.pem"), owner_only).expect("its mode can be set");
        Arc::new(Self { directory, roots })
    }

    /// The authority's own certificate: what clients must trust.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The server's certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.file("cert.pem")
    }

    /// The server's private key.
    pub fn key_file(&self) -> PathBuf {
        self.file("key.pem")
    }

    /// TLS for a server of ours, HTTP/1.1 only.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.certificate_file()).expect("written above");
        let key = PrivateKeyDer::from_pem_file(self.key_file()).expect("written above");
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key fits the certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// TLS for a client of ours that trusts this authority and nobody else.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
