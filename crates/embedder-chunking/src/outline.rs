//! Compares the definitions of a snippet with an expected outline.

pub(crate) use crate::chunk::tests::outline;

/// Checks the definitions of `source`, one a line: `first-last kind Qualified.name`.
#[track_caller]
pub(crate) fn check(path: &str, source: &str, expected: &str) {
    let found = outline(path, source);
    assert!(
        found == expected,
        "{path}\n--- expected\n{expected}--- found\n{found}---"
    );
}
