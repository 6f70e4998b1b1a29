//! A disk that loses what was not synced, and tears what it was writing.

use crate::rng::Rng;

#[derive(Clone, Debug)]
enum Write {
    Reset(Vec<u8>),
    Append(Vec<u8>),
    Cut(usize),
}

/// One file: the log.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Vec<u8>,
    pending: Vec<Write>,
    /// A mutation: `sync` says done and does nothing.
    lies: bool,
}

impl Disk {
    /// An empty file.
    #[must_use]
    pub fn new(lies: bool) -> Self {
        Self { lies, ..Self::default() }
    }

    /// Replaces the file, atomically.
    pub fn reset(&mut self, bytes: Vec<u8>) {
        self.pending.push(Write::Reset(bytes));
    }

    /// Appends.
    pub fn append(&mut self, bytes: Vec<u8>) {
        self.pending.push(Write::Append(bytes));
    }

    /// Cuts to a length.
    pub fn cut(&mut self, length: usize) {
        self.pending.push(Write::Cut(length));
    }

    /// Makes everything durable.
    pub fn sync(&mut self) {
        if !self.lies {
            let writes = std::mem::take(&mut self.pending);
            writes.into_iter().for_each(|write| self.apply(write));
        }
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

    fn apply(&mut self, write: Write) {
        match write {
            Write::Reset(bytes) => self.durable = bytes,
            Write::Append(bytes) => self.durable.extend(bytes),
            Write::Cut(length) => self.durable.truncate(length),
        }
    }
}
