//! Getting models: from a hub that misbehaves, from pip, from a folder; what is in place afterwards.

mod bad_network;
mod fixture;
mod from_folder;
mod from_hub;
mod from_pip;
mod in_place;
