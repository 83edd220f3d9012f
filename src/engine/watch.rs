//! Folders that are watched: what changes in them is noticed, and when to look.
//!
//! What the operating system tells only says that it is time to look; what is found then is right whatever was told, in
//! whatever order, or not at all. So an event costs a few bytes, a storm of them no more than one, and those that are lost
//! are made up for by a look at everything.

mod due;
mod folder;
mod seen;

pub(crate) use due::Due;
pub(crate) use folder::FolderWatch;
pub(crate) use seen::Seen;
