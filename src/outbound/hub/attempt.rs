//! One try at one file: ask for what is missing, write it, check the whole.

use std::fs::File;
use std::io::Write;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE};

use super::partial::{Partial, Record};
use super::redirects::{Announced, Opened, refusal};
use super::{Fetched, Hub, HubError, Wanted, shown};
use crate::outbound::checksum::sha256_of;
use crate::outbound::control::Control;

impl Hub {
    pub(super) fn attempt(
        &self,
        wanted: &Wanted<'_>,
        control: &Control<'_>,
    ) -> Result<Option<Fetched>, HubError> {
        let mut partial = Partial::find(wanted);
        if wanted.sha256.is_some() && wanted.bytes == Some(partial.len) {
            // All of it arrived in an earlier run; only the check is missing.
            control.progress.begin(wanted.file, wanted.bytes);
            return finish(wanted, &mut partial, Announced::default(), control).map(Some);
        }
        let url = self.url_of(wanted);
        let asked = shown(&url);
        let from = if partial.can_resume(&asked, wanted.sha256.is_some()) {
            partial.len
        } else {
            0
        };
        let etag = partial
            .record
            .as_ref()
            .and_then(|record| record.etag.clone());
        let opened = self.open(wanted.file, url, from, etag.as_deref(), control)?;
        let record = Record {
            url: asked,
            etag: opened.strong_etag().map(str::to_owned),
            sha256: opened.announced.sha256.clone(),
        };
        let (file, total) = match opened.answer.status.as_u16() {
            200 => {
                let total =
                    header_number(&opened, CONTENT_LENGTH.as_str()).or(opened.announced.bytes);
                check_announced(wanted, &opened.announced, total)?;
                (partial.start(record)?, total)
            }
            206 if from > 0 => {
                let total = match content_range(&opened) {
                    Some((start, total)) if start == from && belongs(&partial, &record) => total,
                    _ => {
                        return start_over(
                            wanted,
                            &mut partial,
                            "the server gave another part than was asked for",
                        );
                    }
                };
                check_announced(wanted, &opened.announced, Some(total))?;
                (partial.go_on()?, Some(total))
            }
            416 if from > 0 => {
                if unsatisfied_total(&opened) == Some(from) && belongs(&partial, &record) {
                    control.progress.begin(wanted.file, Some(from));
                    return finish(wanted, &mut partial, opened.announced, control).map(Some);
                }
                return start_over(
                    wanted,
                    &mut partial,
                    "the file has changed since its first part arrived",
                );
            }
            404 => {
                partial.discard()?;
                return Ok(None);
            }
            _ => return Err(refusal(&opened)),
        };
        control.progress.begin(wanted.file, total);
        if partial.len > 0 {
            control.progress.resumed(partial.len);
        }
        receive(wanted, &mut partial, &opened, file, total, control)?;
        finish(wanted, &mut partial, opened.announced, control).map(Some)
    }
}

/// Writes the body behind what is there.
fn receive(
    wanted: &Wanted<'_>,
    partial: &mut Partial<'_>,
    opened: &Opened,
    mut file: File,
    total: Option<u64>,
    control: &Control<'_>,
) -> Result<(), HubError> {
    let disk = |error| HubError::disk(wanted.into, error);
    let limit = total.or(wanted.bytes).unwrap_or(wanted.bytes_max);
    while let Some(block) = opened
        .answer
        .next(control)
        .map_err(|error| HubError::http(wanted.file, error))?
    {
        let bytes = block.len() as u64;
        let arrived = partial.len + bytes;
        if arrived > limit {
            partial.discard()?;
            return Err(size_error(
                wanted,
                arrived,
                format!("at most {limit} are accepted"),
            ));
        }
        file.write_all(&block).map_err(disk)?;
        partial.len = arrived;
        control.progress.advance(bytes);
    }
    file.sync_all().map_err(disk)?;
    match total {
        Some(total) if partial.len < total => {
            let reason = format!(
                "connection broken: {} of {total} bytes arrived",
                partial.len
            );
            Err(HubError::Broken {
                file: wanted.file.to_owned(),
                reason,
            })
        }
        _ => Ok(()),
    }
}

/// Checks the whole file against its pins, or else against what the hub announced. Wrong bytes are thrown away.
fn finish(
    wanted: &Wanted<'_>,
    partial: &mut Partial<'_>,
    announced: Announced,
    control: &Control<'_>,
) -> Result<Fetched, HubError> {
    let found =
        sha256_of(wanted.into, control).map_err(|error| HubError::checksum(wanted.into, error))?;
    let expected = wanted.sha256.or(announced.sha256.as_deref());
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        let error = HubError::Checksum {
            file: wanted.file.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        partial.discard()?;
        return Err(error);
    }
    control.progress.finish();
    Ok(Fetched {
        bytes: partial.len,
        sha256: found,
        commit: announced.commit,
    })
}

/// Refuses before the first byte what would be refused after the last.
fn check_announced(
    wanted: &Wanted<'_>,
    announced: &Announced,
    total: Option<u64>,
) -> Result<(), HubError> {
    if let Some(total) = total {
        if total > wanted.bytes_max {
            return Err(size_error(
                wanted,
                total,
                format!("at most {} are accepted", wanted.bytes_max),
            ));
        }
        if let Some(bytes) = wanted.bytes.filter(|bytes| *bytes != total) {
            return Err(size_error(wanted, total, format!("{bytes} are expected")));
        }
    }
    match (wanted.sha256, &announced.sha256) {
        (Some(pinned), Some(found)) if pinned != found => Err(HubError::Announced {
            file: wanted.file.to_owned(),
            found: found.clone(),
            expected: pinned.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether the rest that is offered belongs to the part at hand, as far as tags and sums tell.
fn belongs(partial: &Partial<'_>, offered: &Record) -> bool {
    let differ =
        |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
    partial.record.as_ref().is_some_and(|record| {
        !differ(&record.etag, &offered.etag) && !differ(&record.sha256, &offered.sha256)
    })
}

/// Forgets the part at hand; the error makes the next try ask for the whole file.
fn start_over<T>(
    wanted: &Wanted<'_>,
    partial: &mut Partial<'_>,
    reason: &str,
) -> Result<T, HubError> {
    partial.discard()?;
    Err(HubError::Broken {
        file: wanted.file.to_owned(),
        reason: reason.to_owned(),
    })
}

fn size_error(wanted: &Wanted<'_>, bytes: u64, expected: String) -> HubError {
    HubError::Size {
        file: wanted.file.to_owned(),
        bytes,
        expected,
    }
}

fn header_number(opened: &Opened, name: &str) -> Option<u64> {
    opened.answer.header(name)?.trim().parse().ok()
}

/// First byte and total size of `Content-Range: bytes 100-199/200`.
fn content_range(opened: &Opened) -> Option<(u64, u64)> {
    let (range, total) = opened
        .answer
        .header(CONTENT_RANGE.as_str())?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()?))
}

/// The total size of `Content-Range: bytes */200`, which comes with 416.
fn unsatisfied_total(opened: &Opened) -> Option<u64> {
    opened
        .answer
        .header(CONTENT_RANGE.as_str())?
        .strip_prefix("bytes */")?
        .parse()
        .ok()
}
