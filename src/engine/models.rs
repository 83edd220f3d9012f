//! Getting and keeping models.
