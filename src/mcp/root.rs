//! The folder that a client works in, and the collection that holds it.

use std::path::{Path, PathBuf};

use super::api::{Api, Call, Collections};
use crate::engine::serving::collections::CollectionView;
use crate::error::{Error, ErrorCode, Result};

/// The folder that a client works in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Root(Option<PathBuf>);

impl Root {
    /// A folder.
    ///
    /// # Errors
    /// [`Error::Argument`]: it is no absolute path, and nobody knows where a relative one begins.
    pub(crate) fn new(folder: PathBuf) -> Result<Root> {
        if folder.is_absolute() {
            return Ok(Root(Some(folder)));
        }
        Err(Error::Argument {
            problem: format!(
                "the folder that is worked in, {}, is no absolute path",
                folder.display()
            ),
            remedy: "name it from the root of the file system on".to_owned(),
        })
    }

    /// Returns the folder, where there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Returns the collections that a call is about: the one it names; else those that hold the folder; else all.
    ///
    /// # Errors
    /// A folder that is in no collection: what all others hold is no answer to a question about this one.
    pub(super) async fn collections(
        &self,
        api: &dyn Api,
        asked: Option<&str>,
    ) -> Result<Vec<CollectionView>> {
        let found = self.find(api, asked).await?;
        if found.is_empty() {
            return Err(Error::Argument {
                problem: match self.folder() {
                    Some(folder) => format!("{} is not indexed", folder.display()),
                    None => "nothing is indexed".to_owned(),
                },
                remedy: "call `index`, or name a `collection` that `status` lists".to_owned(),
            });
        }
        Ok(found)
    }

    /// As [`collections`](Root::collections), or none.
    ///
    /// # Errors
    /// A name that no collection has; those of the API.
    pub(super) async fn find(
        &self,
        api: &dyn Api,
        asked: Option<&str>,
    ) -> Result<Vec<CollectionView>> {
        if let Some(name) = asked {
            let found = Call::get(&["v1", "collections", name], &[]).of(api).await;
            return match found {
                Ok(found) => Ok(vec![found]),
                Err(error) if error.code() == ErrorCode::NotFound => Err(Error::Argument {
                    problem: format!("there is no collection `{name}`"),
                    remedy: "`status` lists those there are".to_owned(),
                }),
                Err(error) => Err(error),
            };
        }
        let folder = self.folder().map(|folder| folder.display().to_string());
        let query: Vec<(&str, &str)> = folder
            .as_deref()
            .map(|folder| ("holding", folder))
            .into_iter()
            .collect();
        let found: Collections = Call::get(&["v1", "collections"], &query).of(api).await?;
        Ok(found.collections)
    }

    /// Returns a folder that a call names, seen from this one; this one where it names none.
    ///
    /// # Errors
    /// No folder at all; a folder outside of this one.
    pub(super) fn inside(&self, asked: Option<&str>) -> Result<PathBuf> {
        let folder = match (asked, self.folder()) {
            (None, None) => {
                return Err(Error::Argument {
                    problem: "no folder is named, and none is the client's".to_owned(),
                    remedy: "give `path`, an absolute one".to_owned(),
                });
            }
            (None, Some(root)) => return Ok(root.to_owned()),
            (Some(asked), None) => PathBuf::from(asked),
            (Some(asked), Some(root)) => root.join(asked),
        };
        let has_steps_up = folder
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        let is_inside = self.folder().is_none_or(|root| folder.starts_with(root));
        if has_steps_up || !is_inside || !folder.is_absolute() {
            return Err(Error::Argument {
                problem: format!("{} is not inside of what may be indexed here", folder.display()),
                remedy: "ask the person you work for: `embedder index PATH` indexes any folder of theirs"
                    .to_owned(),
            });
        }
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inside_may_be_named() {
        let root = Root::new("/home/me/project".into()).unwrap();
        let inside = |asked: Option<&str>| root.inside(asked).ok();
        assert_eq!(inside(None), Some("/home/me/project".into()));
        assert_eq!(inside(Some("src")), Some("/home/me/project/src".into()));
        assert_eq!(
            inside(Some("/home/me/project/src")),
            Some("/home/me/project/src".into())
        );
        for outside in [
            "/",
            "/home/me",
            "..",
            "src/../../other",
            "/home/me/projects",
        ] {
            assert_eq!(inside(Some(outside)), None, "{outside}");
        }
    }

    #[test]
    fn without_a_folder_one_must_be_named() {
        let root = Root::default();
        assert!(root.inside(None).is_err());
        assert!(root.inside(Some("src")).is_err());
        assert_eq!(
            root.inside(Some("/srv/a")).unwrap(),
            PathBuf::from("/srv/a")
        );
        assert!(Root::new("relative".into()).is_err());
    }
}
