//! The certificate of the server, and its replacement while the server runs.
//!
//! TLS 1.2 and 1.3 by rustls with ring, HTTP/2 and HTTP/1.1 by ALPN. A renewed certificate is taken over without a
//! restart: connections that are open keep the old one, new ones get the new one.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, ErrorCode, Result};

/// A chain of certificates is some 10 kB; this is what is read of a file that is none.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// What a client may choose to speak, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Holds a certificate and its key, and reads them again when their files change.
pub(super) struct TlsReloader {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// The state of the files when `current` was read; also lets one reload happen at a time.
    loaded: Mutex<[Stamp; 2]>,
}

/// What tells a changed file from an unchanged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl TlsReloader {
    /// Reads the PEM files of a certificate, with those that lead to its authority, and of its key. This reads files:
    /// async code calls it where it may block.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Reported`] with [`ErrorCode::Usage`] where a file is not what it should be, the key does
    /// not belong to the certificate, or other users may read it.
    pub(super) fn load(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<TlsReloader> {
        let (certificate, key) = (certificate.into(), key.into());
        let (config, loaded) = read_config(&certificate, &key)?;
        Ok(TlsReloader {
            certificate,
            key,
            current: ArcSwap::from_pointee(config),
            loaded: Mutex::new(loaded),
        })
    }

    /// Returns what shakes hands with the certificate of now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Takes over the files if they have changed, and returns whether it did. This reads files: async code calls it
    /// where it may block.
    ///
    /// # Errors
    /// Those of [`load`](TlsReloader::load); the certificate of now stays. As long as the files are not good again each
    /// call tries anew, because what is wrong need not be in them: permissions leave no trace in a file.
    pub(super) fn reload_if_changed(&self) -> Result<bool> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if [stamp_of(&self.certificate)?, stamp_of(&self.key)?] == *loaded {
            return Ok(false);
        }
        let (config, stamps) = read_config(&self.certificate, &self.key)?;
        self.current.store(Arc::new(config));
        *loaded = stamps;
        Ok(true)
    }
}

/// Shows the paths alone.
impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn read_config(certificate: &Path, key: &Path) -> Result<(ServerConfig, [Stamp; 2])> {
    let (certificate_pem, certificate_metadata) = read_pem(certificate)?;
    let (key_pem, key_metadata) = read_pem(key)?;
    refuse_if_open_to_others(key, &key_metadata)?;

    let chain = CertificateDer::pem_slice_iter(&certificate_pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| {
            unusable(
                format!("{} holds no certificate in PEM", certificate.display()),
                "name the file with the certificate and those that lead to its authority",
            )
        })?;
    // The parser's error may quote the file.
    let private_key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| {
        unusable(
            format!("{} holds no private key in PEM", key.display()),
            "name the file with the certificate's key, without a password",
        )
    })?;
    let config = server_config(chain, private_key).map_err(|error| {
        unusable(
            format!(
                "{} and {} cannot be used together: {error}",
                certificate.display(),
                key.display()
            ),
            "name a certificate and the key that it was made for",
        )
    })?;
    let stamps = [Stamp::of(&certificate_metadata), Stamp::of(&key_metadata)];
    Ok((config, stamps))
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(config)
}

/// Reads a file, and its metadata before: what changes in between is seen as a change the next time.
fn read_pem(path: &Path) -> Result<(Vec<u8>, Metadata)> {
    let read = || -> io::Result<_> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut pem = Vec::new();
        file.take(PEM_BYTES_MAX).read_to_end(&mut pem)?;
        Ok((pem, metadata))
    };
    read().map_err(|error| Error::io("read", path, error))
}

#[cfg(unix)]
fn refuse_if_open_to_others(key: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    /// What users who are neither the owner nor of the group may do.
    const OTHERS: u32 = 0o007;
    if metadata.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    Err(unusable(
        format!("every user of this machine has access to {}", key.display()),
        &format!("run `chmod 600 {}`", key.display()),
    ))
}

#[cfg(not(unix))]
fn refuse_if_open_to_others(_key: &Path, _metadata: &Metadata) -> Result<()> {
    Ok(())
}

fn unusable(message: String, remedy: &str) -> Error {
    Error::Reported {
        code: ErrorCode::Usage,
        message,
        remedy: Some(remedy.to_owned()),
    }
}

fn stamp_of(path: &Path) -> Result<Stamp> {
    fs::metadata(path)
        .map(|metadata| Stamp::of(&metadata))
        .map_err(|error| Error::io("read", path, error))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tempfile::TempDir;
    use tokio::io::duplex;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A folder with a certificate and its key, which can be replaced.
    struct Files {
        dir: TempDir,
        /// The files' times are set: two that are written in a row may have the same.
        seconds: u64,
    }

    impl Files {
        fn new(certified: &CertifiedKey<KeyPair>) -> Files {
            let mut files = Files {
                dir: tempfile::tempdir().unwrap(),
                seconds: 0,
            };
            files.put("cert.pem", &certified.cert.pem());
            files.put("key.pem", &certified.signing_key.serialize_pem());
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn put(&mut self, name: &str, text: &str) {
            self.seconds += 1;
            fs::write(self.path(name), text).unwrap();
            self.allow(name, 0o600);
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds);
            let file = File::options().write(true).open(self.path(name)).unwrap();
            file.set_modified(modified).unwrap();
        }

        #[cfg(unix)]
        fn allow(&self, name: &str, mode: u32) {
            use std::os::unix::fs::PermissionsExt;
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(self.path(name), permissions).unwrap();
        }

        #[cfg(not(unix))]
        fn allow(&self, _name: &str, _mode: u32) {}

        fn load(&self) -> Result<TlsReloader> {
            TlsReloader::load(self.path("cert.pem"), self.path("key.pem"))
        }
    }

    fn certified() -> CertifiedKey<KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    /// Shakes hands as a client that trusts one certificate, and returns the protocol that was chosen.
    async fn shake_hands(
        reloader: &TlsReloader,
        trusted: &CertifiedKey<KeyPair>,
        offers: &[&str],
    ) -> io::Result<Option<Vec<u8>>> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.cert.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = offers
            .iter()
            .map(|offer| offer.as_bytes().to_vec())
            .collect();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, server) = duplex(64 * 1024);
        let name = ServerName::try_from("localhost").unwrap();
        let (client, _server) = tokio::join!(
            connector.connect(name, client),
            reloader.acceptor().accept(server)
        );
        let client = client?;
        Ok(client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    }

    fn message_and_remedy(error: &Error) -> (String, String) {
        (error.to_string(), error.remedy().unwrap())
    }

    #[tokio::test]
    async fn the_best_protocol_that_both_speak_is_chosen() {
        let certified = certified();
        let reloader = Files::new(&certified).load().unwrap();
        for (offers, chosen) in [
            (&["http/1.1", "h2"][..], Some("h2")),
            (&["http/1.1"][..], Some("http/1.1")),
            (&[][..], None),
        ] {
            let protocol = shake_hands(&reloader, &certified, offers).await.unwrap();
            assert_eq!(protocol.as_deref(), chosen.map(str::as_bytes));
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_over() {
        let (old, new) = (certified(), certified());
        let mut files = Files::new(&old);
        let reloader = files.load().unwrap();
        assert!(!reloader.reload_if_changed().unwrap());

        files.put("key.pem", &new.signing_key.serialize_pem());
        files.put("cert.pem", &new.cert.pem());
        shake_hands(&reloader, &old, &[]).await.unwrap();
        assert!(reloader.reload_if_changed().unwrap());
        assert!(!reloader.reload_if_changed().unwrap());
        shake_hands(&reloader, &new, &[]).await.unwrap();
        shake_hands(&reloader, &old, &[]).await.unwrap_err();
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_change_nothing_until_they_are_repaired() {
        let (old, new) = (certified(), certified());
        let mut files = Files::new(&old);
        let reloader = files.load().unwrap();

        // The new key before its certificate, as a renewal may be seen halfway.
        files.put("key.pem", &new.signing_key.serialize_pem());
        for _ in 0..2 {
            let error = reloader.reload_if_changed().unwrap_err();
            assert_eq!(error.code(), ErrorCode::Usage);
            assert!(error.to_string().contains("cannot be used together"));
        }
        files.put("cert.pem", "-----BEGIN CERTIFICATE-----\nbroken");
        let error = reloader.reload_if_changed().unwrap_err();
        assert!(error.to_string().contains("cert.pem holds no certificate"));
        fs::remove_file(files.path("cert.pem")).unwrap();
        let error = reloader.reload_if_changed().unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        shake_hands(&reloader, &old, &[]).await.unwrap();

        files.put("cert.pem", &new.cert.pem());
        assert!(reloader.reload_if_changed().unwrap());
        shake_hands(&reloader, &new, &[]).await.unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_every_user_may_read_is_refused() {
        let files = Files::new(&certified());
        for (mode, is_private) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o644, false),
            (0o604, false),
        ] {
            files.allow("key.pem", mode);
            match files.load() {
                Ok(_) => assert!(is_private, "{mode:o}"),
                Err(error) => {
                    assert!(!is_private, "{mode:o}: {error}");
                    let (message, remedy) = message_and_remedy(&error);
                    assert!(message.starts_with("every user of this machine has access to"));
                    assert!(remedy.starts_with("run `chmod 600 "));
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_key_is_in_an_error_or_in_debug() {
        let certified = certified();
        let mut files = Files::new(&certified);
        let debug = format!("{:?}", files.load().unwrap());
        let key = certified.signing_key.serialize_pem();
        let secret = key.lines().nth(1).unwrap().to_owned();
        assert!(!debug.contains(&secret));
        for broken in [
            secret.clone(),
            format!("-----BEGIN {secret}"),
            format!("-----BEGIN PRIVATE KEY-----\n{secret}"),
            format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"),
        ] {
            files.put("key.pem", &broken);
            let (message, remedy) = message_and_remedy(&files.load().unwrap_err());
            assert!(!message.contains(&secret) && !remedy.contains(&secret));
        }
    }
}
