//! One gzip stream that fills a file, inflated within a budget.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::ArchiveError;
use super::zip_end;
use crate::upload::limits::UploadLimits;
use crate::upload::spool::{SpoolReader, Spooled};

/// The inflated bytes of a gzip file. Reading more of them than the budget allows is an error.
pub(super) struct Inflated<'a> {
    decoder: GzDecoder<BufReader<Watched<'a>>>,
    left: u64,
    trouble: &'a Trouble,
}

/// What went wrong below a reader that can only say `io::Error`.
#[derive(Default)]
pub(super) struct Trouble {
    over_budget: Cell<bool>,
    disk: Cell<bool>,
}

/// The largest size that is plausible for any sdist, and how much more per byte.
const PLAUSIBLE: u64 = 64 << 20;
const PLAUSIBLE_RATIO: u64 = 50;

impl<'a> Inflated<'a> {
    pub(super) fn new(
        content: &'a Spooled,
        limits: &UploadLimits,
        trouble: &'a Trouble,
    ) -> Result<Self, ArchiveError> {
        let mut magic = [0; 2];
        let short = content.len() < magic.len() as u64;
        if !short {
            content.read_exact_at(0, &mut magic).map_err(ArchiveError::Spool)?;
        }
        if magic != [0x1f, 0x8b] {
            return Err(ArchiveError::NotA(".tar.gz"));
        }
        if !zip_end::end_records(content)?.is_empty() {
            return Err(ArchiveError::Ambiguous { format: "sdist", problem: "it is a zip file as well" });
        }
        let plausible = PLAUSIBLE.saturating_add(content.len().saturating_mul(PLAUSIBLE_RATIO));
        let watched = Watched { reader: content.reader(), trouble };
        let decoder = GzDecoder::new(BufReader::with_capacity(64 << 10, watched));
        Ok(Self { decoder, left: limits.inflated.min(plausible), trouble })
    }

    /// Reads on to the end. Only zeros may follow the end of a tar, and nothing may follow the gzip stream: Python
    /// reads a second stream as more of the first, others do not look at it.
    pub(super) fn expect_end(mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 32 << 10];
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(self.decoder.into_inner().fill_buf()?.is_empty()),
                size if buffer[..size].iter().any(|b| *b != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}

impl Read for Inflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.decoder.read(buffer)?;
        match self.left.checked_sub(size as u64) {
            Some(left) => self.left = left,
            None => {
                self.trouble.over_budget.set(true);
                return Err(io::Error::other("inflates to too much"));
            }
        }
        Ok(size)
    }
}

/// A reader that remembers that the disk failed, and not the archive.
struct Watched<'a> {
    reader: SpoolReader<'a>,
    trouble: &'a Trouble,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|_| self.trouble.disk.set(true))
    }
}

impl Trouble {
    /// Says what an error of a reader above [`Inflated`] means.
    pub(super) fn explain(&self, error: io::Error) -> ArchiveError {
        if self.disk.get() {
            return ArchiveError::Spool(error);
        }
        if self.over_budget.get() {
            return ArchiveError::TooLarge {
                format: "sdist",
                limit: "its inflated size is out of proportion".into(),
            };
        }
        ArchiveError::Damaged { format: "sdist", problem: error.to_string() }
    }
}
