//! Certificates of the RPC service, as Grenache's own services have them: the service shows one of
//! its own, and every client has to show one of an authority that the operator trusts.
//!
//! Nodes among themselves have no certificates (see [`crate::tls`]); these are for programs of
//! Grenache on other machines. Who has a certificate of a named authority trades in the node's
//! name, so the authority should sign nothing else, and withdrawing a certificate means a new
//! authority: lists of revoked ones are not looked at.
//!
//! TLS 1.3 alone, with `ring`. There are no session tickets, so each connection proves anew who it
//! is. The files are read once, at the start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};

/// What a service asks of its clients, and shows them.
pub type ServiceTls = ServerConfig;

/// The files of a service's TLS, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate that the service shows, and the chain above it.
    pub certificate: PathBuf,
    /// Its secret key.
    pub key: PathBuf,
    /// The authorities whose certificates clients show.
    pub ca: PathBuf,
}

/// Why there can be no TLS.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read, or is no PEM.
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: pem::Error,
    },
    /// A file is PEM and has nothing of what is wanted.
    Empty {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// What is in a file cannot be used.
    Unusable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for CertificateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable {
                setting,
                path,
                source,
            } => {
                let source: &dyn fmt::Display = match source {
                    pem::Error::Io(source) => source,
                    other => other,
                };
                let path = path.display();
                write!(
                    out,
                    "{setting}: {path} cannot be read ({source}): name a PEM file"
                )
            }
            Self::Empty { setting, path } => write!(
                out,
                "{setting}: {} has nothing of the kind: name a PEM file that has it",
                path.display()
            ),
            Self::Unusable {
                setting,
                path,
                reason,
            } => write!(
                out,
                "{setting}: {} cannot be used ({reason}): certificates must be X.509 version 3 \
                 and fit their key",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CertificateError {}

/// Reads the files and checks that they fit together: the TLS of a service that asks its clients
/// for certificates.
///
/// # Errors
/// The file that is to be mended, and why.
pub fn service_tls(files: &CertificateFiles) -> Result<ServiceTls, CertificateError> {
    let provider = Arc::new(ring::default_provider());
    let chain = read_certificates("grape.rpc_certificate_path", &files.certificate)?;
    let key = read_key("grape.rpc_key_path", &files.key)?;
    let setting = "grape.rpc_ca_path";
    let unusable = |reason: String| CertificateError::Unusable {
        setting,
        path: files.ca.clone(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for authority in read_certificates(setting, &files.ca)? {
        let added = roots.add(authority);
        added.map_err(|error| unusable(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let verifier = verifier.build();
    let verifier = verifier.map_err(|error| unusable(error.to_string()))?;
    let unusable = |error: rustls::Error| CertificateError::Unusable {
        setting: "grape.rpc_certificate_path",
        path: files.certificate.clone(),
        reason: error.to_string(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| {
            let builder = builder.with_client_cert_verifier(verifier);
            builder.with_single_cert(chain, key)
        })
        .map_err(unusable)?;
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn read_certificates(
    setting: &'static str,
    path: &PathBuf,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable {
        setting,
        path: path.clone(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() {
        let path = path.clone();
        return Err(CertificateError::Empty { setting, path });
    }
    Ok(certificates)
}

fn read_key(
    setting: &'static str,
    path: &PathBuf,
) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| match source {
        pem::Error::NoItemsFound => CertificateError::Empty {
            setting,
            path: path.clone(),
        },
        source => CertificateError::Unreadable {
            setting,
            path: path.clone(),
            source,
        },
    })
}
