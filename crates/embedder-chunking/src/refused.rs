//! Why a file is not chunked at all.

/// A git-style look at the head decides whether a file is text.
const BINARY_HEAD_BYTES: usize = 8 * 1024;

/// Why a file was refused: it is not text this crate cuts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is a NUL byte in the first 8 KiB, which git too takes for binary.
    #[error("binary file: NUL byte at offset {offset}")]
    Binary {
        /// Where the first NUL byte is.
        offset: usize,
    },
    /// The file starts with a UTF-16 byte order mark.
    #[error("UTF-16 text is not supported: convert the file to UTF-8")]
    Utf16,
    /// The file is larger than [`crate::Limits::file_bytes_max`].
    #[error("file of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
}

impl Refused {
    /// Looks at size and head of a file; `Ok` when it may be chunked.
    pub(crate) fn check(bytes: &[u8], file_bytes_max: usize) -> Result<(), Self> {
        if bytes.len() > file_bytes_max {
            return Err(Self::TooLarge {
                bytes: bytes.len(),
                limit: file_bytes_max,
            });
        }
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Self::Utf16);
        }
        let head = &bytes[..bytes.len().min(BINARY_HEAD_BYTES)];
        match head.iter().position(|&byte| byte == 0) {
            Some(offset) => Err(Self::Binary { offset }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_bearable_size_passes() {
        let mut late_nul = vec![b'a'; BINARY_HEAD_BYTES + 1];
        late_nul[BINARY_HEAD_BYTES] = 0;
        let cases: &[(&[u8], Result<(), Refused>)] = &[
            (b"", Ok(())),
            (b"\xef\xbb\xbftext", Ok(())),
            (b"ab\0", Err(Refused::Binary { offset: 2 })),
            (b"\xff\xfea\0", Err(Refused::Utf16)),
            (b"\xfe\xff\0a", Err(Refused::Utf16)),
            (&late_nul, Ok(())),
            (
                &[b'a'; 20_000],
                Err(Refused::TooLarge {
                    bytes: 20_000,
                    limit: 10_000,
                }),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Refused::check(bytes, 10_000), *expected);
        }
    }
}
