//! Frames: a length of four bytes, little end first, and so many bytes.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest frame, in bytes: several times what a tracker lets one answer of a node grow to.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Longest first frame, in bytes.
pub(crate) const HELLO_BYTES_MAX: usize = 4 << 10;
/// Memory taken for a frame before its bytes are there, at most.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side has ended, or the line is broken.
    #[error(transparent)]
    Line(#[from] io::Error),
    /// Longer than is taken.
    #[error("a frame of {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// Reads a frame; `None` where the other side ended between two.
pub(crate) async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Option<Vec<u8>>, FrameError> {
    let mut length = [0; 4];
    match from.read(&mut length[..1]).await? {
        0 => return Ok(None),
        _ => from.read_exact(&mut length[1..]).await?,
    };
    let bytes = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if bytes > max {
        return Err(FrameError::TooLong { bytes, max });
    }
    // A length alone, without the bytes, costs no memory.
    let mut frame = Vec::with_capacity(bytes.min(READ_AHEAD_BYTES));
    from.take(bytes as u64).read_to_end(&mut frame).await?;
    match frame.len() == bytes {
        true => Ok(Some(frame)),
        false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// Writes a frame.
pub(crate) async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &[u8],
) -> Result<(), FrameError> {
    let bytes = frame.len();
    let too_long = FrameError::TooLong { bytes, max: FRAME_BYTES_MAX };
    if bytes > FRAME_BYTES_MAX {
        return Err(too_long);
    }
    let length = u32::try_from(bytes).map_err(|_| too_long)?;
    to.write_all(&length.to_le_bytes()).await?;
    to.write_all(frame).await?;
    Ok(to.flush().await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn frames_come_as_they_went_and_a_torn_one_is_an_error() {
        let mut line = Vec::new();
        for frame in [&b"one"[..], b"", b"three"] {
            write_frame(&mut line, frame).await.unwrap();
        }
        let mut read = &line[..];
        for frame in [&b"one"[..], b"", b"three"] {
            assert_eq!(read_frame(&mut read, 9).await.unwrap().unwrap(), frame);
        }
        assert!(read_frame(&mut read, 9).await.unwrap().is_none());
        let torn = read_frame(&mut &line[..line.len() - 1], 9).await;
        assert!(torn.is_ok(), "the first is whole");
        assert!(read_frame(&mut &line[11..line.len() - 1], 9).await.is_err());
    }

    #[tokio::test]
    async fn a_frame_over_the_bound_is_refused_before_it_is_read() {
        let length = u32::MAX.to_le_bytes();
        let error = read_frame(&mut &length[..], FRAME_BYTES_MAX).await.unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }
}
