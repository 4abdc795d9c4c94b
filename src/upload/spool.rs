//! Where the package file waits while it is checked: in memory while it is small, then in a temporary file without
//! a name, so that nothing is left behind however the process ends.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};

/// The package file while it arrives.
pub(super) struct Spool {
    store: Store<Vec<u8>, BufWriter<File>>,
    length: u64,
    in_memory: usize,
    directory: PathBuf,
}

/// The package file once all of it is there. Reads are positional and share nothing.
#[derive(Debug)]
pub(super) struct Spooled {
    store: Store<Bytes, File>,
    length: u64,
}

#[derive(Debug)]
enum Store<M, F> {
    Memory(M),
    File(F),
}

impl Spool {
    pub(super) const fn new(in_memory: usize, directory: PathBuf) -> Self {
        Self { store: Store::Memory(Vec::new()), length: 0, in_memory, directory }
    }

    pub(super) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.length += data.len() as u64;
        if let Store::Memory(held) = &mut self.store {
            if held.len() + data.len() <= self.in_memory {
                held.extend_from_slice(data);
                return Ok(());
            }
            let mut file = BufWriter::with_capacity(WRITE_BUFFER, tempfile::tempfile_in(&self.directory)?);
            file.write_all(held)?;
            self.store = Store::File(file);
        }
        match &mut self.store {
            Store::File(file) => file.write_all(data),
            Store::Memory(_) => Ok(()),
        }
    }

    /// Ends writing; from here on the content stands still.
    pub(super) fn seal(self) -> io::Result<Spooled> {
        let store = match self.store {
            Store::Memory(held) => Store::Memory(held.into()),
            Store::File(file) => Store::File(file.into_inner().map_err(io::IntoInnerError::into_error)?),
        };
        Ok(Spooled { store, length: self.length })
    }
}

const WRITE_BUFFER: usize = 64 << 10;

impl Spooled {
    pub(super) const fn len(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `offset`; the end of the content before that is an error.
    pub(super) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.store {
            Store::File(file) => file.read_exact_at(buffer, offset),
            Store::Memory(held) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let wanted = start.checked_add(buffer.len()).and_then(|end| held.get(start..end));
                buffer.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// At most `max` bytes from `offset`; empty at the end. Costs no copy while the content is in memory.
    pub(super) fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let left = self.length.saturating_sub(offset);
        let size = max.min(usize::try_from(left).unwrap_or(usize::MAX));
        match &self.store {
            Store::Memory(held) => {
                let start = held.len() - usize::try_from(left).unwrap_or(held.len());
                Ok(held.slice(start..start + size))
            }
            Store::File(file) => {
                let mut buffer = BytesMut::zeroed(size);
                file.read_exact_at(&mut buffer, offset)?;
                Ok(buffer.freeze())
            }
        }
    }

    /// Reads the content once more, from its beginning.
    pub(super) const fn reader(&self) -> SpoolReader<'_> {
        SpoolReader { spooled: self, offset: 0 }
    }
}

/// A reading of the whole content. Readers do not disturb each other.
pub(super) struct SpoolReader<'a> {
    spooled: &'a Spooled,
    offset: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.spooled.length - self.offset).unwrap_or(usize::MAX);
        let size = buffer.len().min(left);
        self.spooled.read_exact_at(self.offset, &mut buffer[..size])?;
        self.offset += size as u64;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(in_memory: usize) -> Spooled {
        let mut spool = Spool::new(in_memory, std::env::temp_dir());
        for piece in ["abc", "", "defg", "hij"] {
            spool.append(piece.as_bytes()).unwrap();
        }
        spool.seal().unwrap()
    }

    #[test]
    fn memory_and_file_read_alike() {
        for in_memory in [0, 3, 7, 9, 10, 100] {
            let spooled = spooled(in_memory);
            assert_eq!(matches!(spooled.store, Store::Memory(_)), in_memory >= 10);
            assert_eq!(spooled.len(), 10);
            let mut all = String::new();
            spooled.reader().read_to_string(&mut all).unwrap();
            assert_eq!(all, "abcdefghij");
            assert_eq!(spooled.bytes_at(8, 100).unwrap(), "ij");
            assert_eq!(spooled.bytes_at(2, 3).unwrap(), "cde");
            assert_eq!(spooled.bytes_at(10, 3).unwrap(), "");
            assert_eq!(spooled.bytes_at(99, 3).unwrap(), "");
            assert!(spooled.read_exact_at(8, &mut [0; 3]).is_err());
            assert!(spooled.read_exact_at(u64::MAX, &mut [0; 3]).is_err());
        }
    }

    #[test]
    fn a_missing_spool_directory_is_an_error_not_a_panic() {
        let mut spool = Spool::new(2, "/nonexistent/spool".into());
        assert!(spool.append(b"ab").is_ok());
        assert!(spool.append(b"c").is_err());
    }
}
