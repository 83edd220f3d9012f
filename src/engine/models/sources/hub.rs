//! A repository on the hub.

use crate::engine::models::gather::{Area, Source, SourceError, WantedFile};
use crate::engine::models::{FileRecord, PullError};
use crate::outbound::control::Control;
use crate::outbound::hub::{Hub, HubError, Wanted};

/// Gets files from a repository on the hub, all of one commit where the hub names it.
pub(super) struct HubSource {
    hub: Hub,
    label: String,
    repository: String,
    /// What is asked for: the given revision, and after the first answer the commit that this stood for, so that a push
    /// to the repository between two files does not mix them.
    revision: String,
}

impl HubSource {
    pub(super) fn new(hub: Hub, label: String, repository: &str, revision: &str) -> Self {
        Self {
            hub,
            label,
            repository: repository.to_owned(),
            revision: revision.to_owned(),
        }
    }
}

impl Source for HubSource {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn file(
        &mut self,
        wanted: &WantedFile<'_>,
        area: &Area,
        control: &Control<'_>,
    ) -> Result<Option<FileRecord>, SourceError> {
        let record = format!("{}.json", wanted.name.replace('/', "--"));
        let asked = Wanted {
            repository: &self.repository,
            revision: &self.revision,
            file: wanted.name,
            bytes_max: wanted.bytes_max,
            bytes: wanted.exact.map(|file| file.bytes),
            sha256: wanted.exact.map(|file| file.sha256),
            into: &area.staging().join(wanted.name),
            resume_record: &area.aside("resume").join(record),
        };
        let Some(fetched) = self.hub.fetch(&asked, control)? else {
            return Ok(None);
        };
        if let Some(commit) = fetched.commit {
            self.revision = commit;
        }
        Ok(Some(FileRecord {
            name: wanted.name.to_owned(),
            bytes: fetched.bytes,
            sha256: fetched.sha256,
        }))
    }

    fn revision(&self) -> Option<String> {
        Some(self.revision.clone())
    }
}

impl From<HubError> for SourceError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Interrupted(interrupted) => Self::Stop(interrupted.into()),
            HubError::Disk { path, source } => Self::Stop(PullError::io(&path, source)),
            HubError::Endpoint { .. }
            | HubError::Setup { .. }
            | HubError::Unreachable { .. }
            | HubError::Broken { .. }
            | HubError::Denied { .. }
            | HubError::Status { .. }
            | HubError::Redirect { .. }
            | HubError::Size { .. }
            | HubError::Checksum { .. }
            | HubError::Announced { .. }
            | HubError::GaveUp { .. } => Self::Failed(error.to_string()),
        }
    }
}
