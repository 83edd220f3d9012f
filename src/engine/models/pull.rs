//! The use case: get a model from the first source that has it.

use std::path::PathBuf;

use super::gather::{SourceError, gather};
use super::install::{Slot, Standing};
use super::known::{KNOWN_MODELS, KnownModel};
use super::sources::{Candidate, PullSources};
use super::{Manifest, ModelName, Models, PullError, SourceFailure};
use crate::outbound::control::Control;

/// What to pull.
#[derive(Debug, Clone, Copy)]
pub struct PullRequest<'a> {
    /// The name of a known model, or `owner/name` on the hub; with a local folder as the source any name.
    pub name: &'a str,
    /// The models whose files are pinned.
    pub known: &'a [KnownModel<'a>],
    /// Pulls also what is there already, and replaces what this program did not install.
    pub force: bool,
}

impl<'a> PullRequest<'a> {
    /// A request for a model, with the table of [`KNOWN_MODELS`].
    #[must_use]
    pub fn named(name: &'a str) -> Self {
        Self {
            name,
            known: KNOWN_MODELS,
            force: false,
        }
    }
}

/// A model that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its folder.
    pub dir: PathBuf,
    /// What it is and where it came from.
    pub manifest: Manifest,
    /// Whether it had been there before, so that nothing was done.
    pub already_there: bool,
    /// The sources that were tried before the one that had it.
    pub failures: Vec<SourceFailure>,
}

impl Models {
    /// Makes sure that a model is in place: gets it from the first source that has it, unless it is there already.
    ///
    /// An existing model that has lost files is replaced. An interrupted pull leaves what has arrived from the hub for
    /// the next one.
    ///
    /// # Errors
    /// [`PullError::NoModel`] with the reason of each source when none had it; others when the name is no name, the disk
    /// is full or may not be written, another process does not finish, or on an interrupt.
    pub fn pull(
        &self,
        request: &PullRequest<'_>,
        sources: &PullSources,
        control: &Control<'_>,
    ) -> Result<Pulled, PullError> {
        let known = request
            .known
            .iter()
            .find(|known| known.is_called(request.name));
        let name = ModelName::parse(known.map_or(request.name, |known| known.name))?;
        if let Some(pulled) = self.already_there(&name, request.force)? {
            return Ok(pulled);
        }
        let slot = Slot::acquire(self, &name, control)?;
        // Another process may have finished it while we waited.
        if let Some(pulled) = self.already_there(&name, request.force)? {
            return Ok(pulled);
        }
        let result = self.pull_into(&slot, &name, known, sources, control);
        if matches!(result, Err(PullError::DiskFull { .. })) {
            // Our own remains must not be what keeps the disk full. If even that fails, the first error says more.
            let _ = slot.sweep();
        }
        result
    }

    fn already_there(&self, name: &ModelName, force: bool) -> Result<Option<Pulled>, PullError> {
        if force {
            return Ok(None);
        }
        let dir = self.home(name);
        match self.standing(name) {
            Standing::Sound(manifest) => Ok(Some(Pulled {
                dir,
                manifest,
                already_there: true,
                failures: Vec::new(),
            })),
            Standing::Foreign => Err(PullError::Occupied { path: dir }),
            Standing::Nothing => Ok(None),
            Standing::Damaged(reason) => {
                tracing::warn!(model = %name, reason, "Model {name} is damaged and will be pulled again: {reason}");
                Ok(None)
            }
        }
    }

    fn pull_into(
        &self,
        slot: &Slot,
        name: &ModelName,
        known: Option<&KnownModel<'_>>,
        sources: &PullSources,
        control: &Control<'_>,
    ) -> Result<Pulled, PullError> {
        let mut failures = Vec::new();
        for candidate in sources.candidates(name, known) {
            let failure = match candidate {
                Candidate::Skip(failure) => failure,
                Candidate::Try(area, mut source) => {
                    let area = slot.area(area);
                    match gather(source.as_mut(), known, &area, control) {
                        Ok(files) => {
                            let licence = known.map(|known| known.licence.to_owned());
                            let (label, revision) = (source.label(), source.revision());
                            let manifest =
                                Manifest::new(name.to_string(), label, revision, licence, files);
                            slot.publish(&area, &manifest)?;
                            return Ok(Pulled {
                                dir: self.home(name),
                                manifest,
                                already_there: false,
                                failures,
                            });
                        }
                        Err(SourceError::Stop(error)) => return Err(error),
                        Err(SourceError::Failed(reason)) => SourceFailure {
                            source: source.label(),
                            reason,
                        },
                    }
                }
            };
            control
                .progress
                .source_failed(&failure.source, &failure.reason);
            failures.push(failure);
        }
        Err(PullError::NoModel {
            name: name.to_string(),
            failures,
            remedy: remedy(name, known, sources),
        })
    }
}

fn remedy(name: &ModelName, known: Option<&KnownModel<'_>>, sources: &PullSources) -> String {
    if sources.from.is_some() {
        return "give a sentence-transformers folder with config.json, tokenizer.json and model.safetensors".to_owned();
    }
    match known {
        None if !name.has_owner() => {
            let known: Vec<_> = KNOWN_MODELS.iter().map(|known| known.name).collect();
            format!("give the model as owner/name, copy a folder with --from DIR, or use {}", known.join(", "))
        }
        _ => "pull again where there is a network, set HF_ENDPOINT to a mirror, or copy a model folder with --from DIR"
            .to_owned(),
    }
}
