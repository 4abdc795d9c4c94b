//! The multipart form of an upload: read strictly, checked, rebuilt.
//!
//! Indexes disagree about which bytes of an upload decide what gets stored: one goes by the form field `name`, one
//! by the file name, one by the metadata inside the archive; of two equal fields one takes the first, one the last.
//! So nothing that can be read in two ways passes, all readings must tell the same story, and what goes on to the
//! index is our own serialisation of what was understood.
//!
//! ```text
//! bytes → Receiver ─┬─ fields  → Form ────┐
//!                   └─ content → Spool ───┴→ one story? → Upload → RebuiltBody
//! ```
//!
//! This module knows nothing about HTTP, rules or indexes.

mod archive;
mod check;
mod delimiter;
mod digests;
mod error;
mod fields;
mod file_name;
mod limits;
mod media_type;
mod part;
mod rebuild;
mod receiver;
mod release;
mod spool;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use archive::ArchiveError;
pub use check::Upload;
pub use error::UploadError;
pub use fields::FieldError;
pub use file_name::{BadFileName, FileName, Kind};
pub use limits::UploadLimits;
pub use media_type::MediaTypeError;
pub use part::PartError;
pub use rebuild::RebuiltBody;
pub use receiver::Receiver;
pub use release::{BadVersion, Release};
