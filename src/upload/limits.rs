//! What one upload may cost.

/// Limits on one upload. Every one of them is reached in constant memory and refused with its own message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// The whole request body, in bytes. Default 1 GiB, which is what devpi takes.
    pub size: u64,
    /// How much of the package file is held in memory before it goes to a temporary file. Default 1 MiB.
    pub spool_memory: usize,
    /// All form fields together, names and values, without the package file. Default 4 MiB: hatch sends the whole
    /// README before anything else.
    pub field_bytes: usize,
    /// Parts in the form. Default 1000, as Pulp and Go have it; packages with 700 `requires_dist` are real.
    pub parts: usize,
    /// The header lines of one part, in bytes. Default 4 KiB.
    pub part_head: usize,
    /// Files in a wheel, entries in an sdist. Default 200 000.
    pub archive_entries: usize,
    /// The table of contents of a wheel, in bytes; it is held in memory. Default 16 MiB.
    pub archive_directory: usize,
    /// `METADATA` or `PKG-INFO`, in bytes. Default 4 MiB, as for the fields that say the same.
    pub metadata: usize,
    /// What an sdist may inflate to, in bytes. Default 2 GiB, which takes a few seconds. Independent of this, no
    /// sdist may inflate to more than 64 MiB plus fifty times its size. (Of a wheel only `METADATA` is inflated.)
    pub inflated: u64,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            size: 1 << 30,
            spool_memory: 1 << 20,
            field_bytes: 4 << 20,
            parts: 1000,
            part_head: 4 << 10,
            archive_entries: 200_000,
            archive_directory: 16 << 20,
            metadata: 4 << 20,
            inflated: 2 << 30,
        }
    }
}
