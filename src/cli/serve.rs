//! `embedder serve`.

use std::path::{Path, PathBuf};

use super::{Context, mcp, served};
use crate::error::{Error, ErrorCode, Result};
use crate::http::server::{Options, serve};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7878].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Ask nobody for a key; on loopback alone.
    #[arg(long)]
    no_auth: bool,
    /// Listen beyond loopback without TLS, where something else encrypts.
    #[arg(long)]
    insecure: bool,
    /// A program starts it for itself and others.
    #[arg(long, hide = true)]
    for_clients: bool,
    /// Where probes and metrics are answered, or `off` [default: 127.0.0.1:9091].
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    ops_listen: Option<String>,
    /// The certificate chain in PEM: with it the server speaks TLS.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key in PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

impl Args {
    /// Returns the settings that the flags stand for.
    pub(super) fn flags(&self) -> Vec<(&'static str, String)> {
        // Commands look for the certificate from other folders.
        let whole = |path: &PathBuf| {
            let path: &Path = path;
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            whole.display().to_string()
        };
        let flags = [
            ("server.listen", self.listen.clone()),
            ("server.insecure", self.insecure.then(|| "1".to_owned())),
            ("ops.listen", self.ops_listen.clone()),
            ("server.tls_cert", self.tls_cert.as_ref().map(whole)),
            ("server.tls_key", self.tls_key.as_ref().map(whole)),
        ];
        flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

pub(super) fn run(context: Context, args: &Args) -> Result<()> {
    // Whatever else is wrong with one that runs, its lock tells.
    if let Ok(Some(server)) = served::find(&context) {
        return Err(Error::Reported {
            code: ErrorCode::Locked,
            message: format!(
                "a server of this data directory runs already: process {} at {}",
                server.pid(),
                server.address()
            ),
            remedy: Some(format!(
                "use it, end it with `kill {}`, or name another --data-dir",
                server.pid()
            )),
        });
    }
    if args.for_clients {
        mcp::log::keep_short();
    }
    let options = Options {
        no_auth: args.no_auth,
        is_for_clients: args.for_clients,
        tools: None,
    };
    serve(context.config, options)
}
