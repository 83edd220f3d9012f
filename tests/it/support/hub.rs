//! A local model hub.
