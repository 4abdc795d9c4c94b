//! The right to make one upload, as a value.

use pep440_rs::Version;

use super::Asked;
use crate::names::{IndexName, ProjectName, PublisherName};

/// Proof that the rules allow one upload. Only [`decide`](super::decide) makes one, and the only way to reach an
/// upstream with the gateway's credential takes one by value: an upload that was not decided does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    publisher: PublisherName,
    index: IndexName,
    project: ProjectName,
    version: Version,
}

impl Permit {
    pub(super) fn new(publisher: PublisherName, asked: &Asked) -> Self {
        Self {
            publisher,
            index: asked.index.clone(),
            project: asked.project.clone(),
            version: asked.version.clone(),
        }
    }

    /// Whether it is for an upload to this index.
    pub(super) fn is_in(&self, index: &IndexName) -> bool {
        self.index == *index
    }

    /// Whether this is the permit for that very upload.
    pub fn is_for(&self, index: &IndexName, project: &ProjectName, version: &Version) -> bool {
        self.index == *index && self.project == *project && self.version == *version
    }

    /// The publisher that allows the upload.
    pub const fn publisher(&self) -> &PublisherName {
        &self.publisher
    }
}
