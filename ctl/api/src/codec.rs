//! Lines out of a byte stream, with a bound on what is buffered.

use crate::MAX_LINE_BYTES;

/// The stream cannot be read any further; close the connection after telling why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More than [`MAX_LINE_BYTES`] bytes without a newline.
    #[error("line longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

/// Cuts received bytes into lines. Sans-IO, so the tokio daemon and the blocking client use the same one.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Bytes already searched for a newline, so that a slow sender does not make the search quadratic.
    searched: usize,
}

impl LineBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what was read from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete line without its newline, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`LineError::TooLong`] when the line (with its newline) is longer than [`MAX_LINE_BYTES`], complete or not.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let fresh = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(at) = fresh.iter().position(|byte| *byte == b'\n').map(|at| at + self.searched) else {
            self.searched = self.bytes.len();
            return if self.bytes.len() >= MAX_LINE_BYTES { Err(LineError::TooLong) } else { Ok(None) };
        };
        if at >= MAX_LINE_BYTES {
            return Err(LineError::TooLong);
        }
        let rest = self.bytes.split_off(at + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.truncate(at);
        self.searched = 0;
        Ok(Some(line))
    }

    /// Bytes of an unfinished line.
    pub fn pending(&self) -> usize {
        self.bytes.len()
    }
}
