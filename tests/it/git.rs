//! Repositories elsewhere: fetched, searched, fetched again, and what those can do that mean harm.

mod hostile;
mod repositories;
