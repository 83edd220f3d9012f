//! The whole of a request's body.
//!
//! A large one has pages of its own, which go back to the operating system with it. Bodies come and go by megabytes; in the
//! allocator's memory they would lie between small things that stay, and none of it would ever be given back.

use std::io;

use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use memmap2::MmapMut;

use super::problem::Problem;
use super::slow_body::{PacedBody, SlowBody};
use crate::engine::serving::memory_guard::{LOOK_EVERY_BYTES, MemoryGuard, short_of_memory};
use crate::error::ErrorCode;

/// A body from this size on has its own pages.
const PAGES_FROM: usize = 256 * 1_024;

/// What has arrived of a body.
enum WholeBody {
    /// All of it in one piece, as it came.
    Piece(Bytes),
    /// Pieces, put together.
    Pieces(Vec<u8>),
    /// Pages of its own, and how much of them is filled.
    Pages(MmapMut, usize),
}

/// Reads a body of at most `limit` bytes, which must arrive at a decent rate.
///
/// # Errors
/// A body that is too large, too slow, breaks off, or is large while memory is very short.
pub(super) async fn read(
    request: Request,
    limit: usize,
    memory: &MemoryGuard,
) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            ErrorCode::TooLarge,
            format!("the body is larger than {limit} bytes"),
        )
        .with_remedy("send less at once")
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > limit) {
        return Err(too_large());
    }
    memory.check_body(announced.unwrap_or(0) as u64)?;
    let len_max = announced.unwrap_or(limit);
    let mut body = Limited::new(PacedBody::new(request.into_body()), limit);
    let mut whole = WholeBody::Piece(Bytes::new());
    let mut looked_at = 0;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(error) if SlowBody::is_in(error.as_ref()) => {
                return Err(Problem::new(
                    ErrorCode::RequestTimeout,
                    "the body did not arrive in time",
                ));
            }
            Err(_) => return Err(broken_off()),
        };
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        whole = whole.with(data, len_max).map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidInput {
                return broken_off();
            }
            tracing::warn!("There is no memory for a body: {error}");
            Problem::from(short_of_memory("large bodies"))
        })?;
        let arrived = whole.len() as u64;
        if arrived >= looked_at + LOOK_EVERY_BYTES {
            looked_at = arrived;
            memory.look();
        }
        memory.check_body(arrived)?;
    }
    Ok(whole.into_bytes())
}

fn broken_off() -> Problem {
    Problem::new(ErrorCode::MalformedRequest, "the body broke off")
}

impl WholeBody {
    fn len(&self) -> usize {
        match self {
            WholeBody::Piece(piece) => piece.len(),
            WholeBody::Pieces(pieces) => pieces.len(),
            WholeBody::Pages(_, len) => *len,
        }
    }

    /// Adds what has arrived to a body of at most `len_max` bytes.
    ///
    /// # Errors
    /// More than that; no pages.
    fn with(self, data: Bytes, len_max: usize) -> io::Result<WholeBody> {
        let len = self.len() + data.len();
        if len > len_max {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(match self {
            WholeBody::Piece(piece) if piece.is_empty() => WholeBody::Piece(data),
            WholeBody::Pages(mut pages, begin) => {
                pages[begin..len].copy_from_slice(&data);
                WholeBody::Pages(pages, len)
            }
            small if len >= PAGES_FROM => {
                let begin = small.len();
                let mut pages = MmapMut::map_anon(len_max)?;
                pages[..begin].copy_from_slice(&small.into_bytes());
                pages[begin..len].copy_from_slice(&data);
                WholeBody::Pages(pages, len)
            }
            WholeBody::Piece(piece) => WholeBody::Pieces([piece, data].concat()),
            WholeBody::Pieces(mut pieces) => {
                pieces.extend_from_slice(&data);
                WholeBody::Pieces(pieces)
            }
        })
    }

    fn into_bytes(self) -> Bytes {
        match self {
            WholeBody::Piece(piece) => piece,
            WholeBody::Pieces(pieces) => pieces.into(),
            WholeBody::Pages(pages, len) => Bytes::from_owner(pages).slice(..len),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_of_all_sizes_are_put_together(sizes in prop::collection::vec(0_usize..200_000, 0..8)) {
            let all: Vec<u8> = (0..sizes.iter().sum()).map(|at: usize| (at % 251) as u8).collect();
            let mut whole = WholeBody::Piece(Bytes::new());
            let mut begin = 0;
            for size in sizes {
                let data = Bytes::copy_from_slice(&all[begin..begin + size]);
                whole = whole.with(data, all.len()).unwrap();
                begin += size;
                prop_assert_eq!(whole.len(), begin);
            }
            let has_pages = matches!(whole, WholeBody::Pages(..));
            prop_assert!(!has_pages || all.len() >= PAGES_FROM);
            prop_assert!(whole.into_bytes() == all);
        }
    }

    #[test]
    fn more_than_was_announced_is_refused() {
        for first in [0, 10, PAGES_FROM] {
            let whole = WholeBody::Piece(Bytes::new());
            let whole = whole.with(vec![1; first].into(), first + 5).unwrap();
            assert!(whole.with(vec![1; 6].into(), first + 5).is_err());
        }
    }
}
