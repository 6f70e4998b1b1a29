//! The file of the write-ahead log, on a disk that loses what was not synced, tears what it was writing, and fills up.

use crate::rng::Rng;

#[derive(Clone, Debug)]
enum Write {
    Reset(Vec<u8>),
    Append(Vec<u8>),
    Cut(usize),
}

/// The disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// One file: the log.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Vec<u8>,
    pending: Vec<Write>,
    /// A mutation: `sync` says done and does nothing.
    lies: bool,
    full: bool,
}

impl Disk {
    /// An empty file.
    #[must_use]
    pub fn new(lies: bool) -> Self {
        Self { lies, ..Self::default() }
    }

    /// Whether the disk takes nothing more.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Replaces the file, atomically.
    ///
    /// # Errors
    /// The disk is full, here and below; the file is as it was.
    pub fn reset(&mut self, bytes: Vec<u8>) -> Result<(), Full> {
        self.space()?;
        self.pending.push(Write::Reset(bytes));
        Ok(())
    }

    /// Appends.
    ///
    /// # Errors
    /// As above, but a part of the bytes may be there.
    pub fn append(&mut self, mut bytes: Vec<u8>, rng: &mut Rng) -> Result<(), Full> {
        let space = self.space();
        if space.is_err() {
            bytes.truncate(rng.index(bytes.len()));
        }
        self.pending.push(Write::Append(bytes));
        space
    }

    /// Cuts to a length; that takes no space.
    pub fn cut(&mut self, length: usize) {
        self.pending.push(Write::Cut(length));
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// As above: space is found missing only now; nothing more is durable than before.
    pub fn sync(&mut self) -> Result<(), Full> {
        self.space()?;
        if !self.lies {
            self.flush();
        }
        Ok(())
    }

    /// The process is gone, the machine runs on. Returns the file.
    pub fn kill(&mut self) -> Vec<u8> {
        if self.lies {
            self.pending.clear();
        }
        self.flush();
        self.durable.clone()
    }

    /// Power is gone: a part of what was not synced is there, the last write perhaps in part. Returns the file.
    pub fn crash(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut writes = std::mem::take(&mut self.pending).into_iter();
        let kept = if self.lies { 0 } else { rng.index(writes.len() + 1) };
        for _ in 0..kept {
            writes.next().into_iter().for_each(|write| self.apply(write));
        }
        if let Some(Write::Append(bytes)) = writes.next() {
            let torn = rng.index(bytes.len());
            if !self.lies {
                self.durable.extend(bytes.into_iter().take(torn));
            }
        }
        self.durable.clone()
    }

    fn space(&self) -> Result<(), Full> {
        if self.full { Err(Full) } else { Ok(()) }
    }

    fn flush(&mut self) {
        let writes = std::mem::take(&mut self.pending);
        writes.into_iter().for_each(|write| self.apply(write));
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Reset(bytes) => self.durable = bytes,
            Write::Append(bytes) => self.durable.extend(bytes),
            Write::Cut(length) => self.durable.truncate(length),
        }
    }
}
