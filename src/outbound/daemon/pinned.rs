//! TLS to a server whose certificate is a file of this machine.
//!
//! The server shows either the very certificate of that file and proves that it has the key, or it is another one.
//! Names, dates and authorities do not matter: a certificate for `search.example` is as good on loopback, and so is one
//! that nobody but its owner has signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::unavailable;
use crate::error::{Error, Result};

/// What is spoken: the connections are few, so one request at a time on each is enough.
const PROTOCOL: &[u8] = b"http/1.1";

/// Accepts the certificate of a file and no other; where there is no file, none.
///
/// # Errors
/// A file that cannot be read or holds no certificate.
pub(super) fn tls(certificate: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let certificate = match certificate {
        Some(path) => Some((path.to_owned(), read(path)?)),
        None => None,
    };
    let verifier = Pinned {
        certificate,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider speaks both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// Reads the first certificate of a file, which is the server's own; those that lead to its authority follow it.
fn read(path: &Path) -> Result<CertificateDer<'static>> {
    let pem = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    CertificateDer::from_pem_slice(&pem).map_err(|_| {
        unavailable(
            format!("{} holds no certificate in PEM", path.display()),
            "restart the server with the certificate that is in use".to_owned(),
        )
    })
}

#[derive(Debug)]
struct Pinned {
    certificate: Option<(PathBuf, CertificateDer<'static>)>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.certificate {
            Some((_, pinned)) if pinned == end_entity => Ok(ServerCertVerified::assertion()),
            Some((path, _)) => Err(rustls::Error::General(format!(
                "the server shows another certificate than that in {}",
                path.display()
            ))),
            None => Err(rustls::Error::General(
                "the server did not say which certificate it shows".to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
