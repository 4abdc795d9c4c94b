//! Where the rules stand in the files, for what is said about them later. Lines are counted only when they are needed:
//! there may be a million rules.

use std::collections::HashMap;

use super::problem::{Problem, Source};
use super::reader::Table;
use crate::names::PublisherName;

/// The places of publishers and restrictions.
#[derive(Debug, Default)]
pub struct Places {
    /// Every file, in the order in which it was read.
    pub sources: Vec<Source>,
    /// Where each `[[publisher]]` begins.
    pub publishers: HashMap<PublisherName, Place>,
    /// Where each `[[project]]` begins, in the order of the restrictions.
    pub restrictions: Vec<Place>,
}

/// A place in one of the files.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    file: usize,
    offset: usize,
}

impl Place {
    /// The beginning of a table of this file.
    pub const fn of(file: usize, table: &Table<'_>) -> Self {
        Self { file, offset: table.start() }
    }
}

impl Places {
    /// Something about a publisher.
    pub fn publisher(&self, name: &PublisherName, message: impl Into<String>) -> Option<Problem> {
        self.problem(*self.publishers.get(name)?, message)
    }

    /// Something about a restriction, by its number.
    pub fn restriction(&self, number: usize, message: impl Into<String>) -> Option<Problem> {
        self.problem(*self.restrictions.get(number)?, message)
    }

    fn problem(&self, place: Place, message: impl Into<String>) -> Option<Problem> {
        let source = self.sources.get(place.file)?;
        Some(Problem::at(source, &(place.offset..place.offset), message))
    }
}
