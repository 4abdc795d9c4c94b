//! How two texts of one kind are compared.

/// The kind of a claim decides how its values compare. Nothing but ASCII ever folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte: files, refs, GitLab environments.
    Exact,
    /// Upper and lower case are the same: GitHub owners, repositories and environments.
    FoldCase,
    /// Numeric ids, as decimal text.
    Id,
}

impl Compare {
    /// Whether `expected` and `found` are the same value.
    pub fn same(self, expected: &str, found: &str) -> bool {
        match self {
            Self::Exact | Self::Id => expected == found,
            Self::FoldCase => expected.eq_ignore_ascii_case(found),
        }
    }
}
