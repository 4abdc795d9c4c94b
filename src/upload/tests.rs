//! The whole way of an upload, case by case. The numbers are those of the defensive test catalogue.

mod archives;
mod fields;
mod framing;
mod rebuilt;
mod sdists;
mod wheels;
