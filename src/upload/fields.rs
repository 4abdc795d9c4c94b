//! The fields of the form: which exist, how often each may stand, what a value may hold.

use super::part::PartHead;
use crate::names::printable;

/// The fields that have arrived.
pub(super) struct Form {
    fields: Vec<(&'static Field, String)>,
    /// Bytes left for names and values of all fields.
    room: usize,
    limit: usize,
    attestations: bool,
    content: Option<String>,
    signature: Option<String>,
}

/// What a part that has just begun is good for.
pub(super) enum Slot {
    /// The package file.
    Content,
    /// A field that is kept.
    Keep(&'static Field),
    /// A field that is read and forgotten: nothing unknown reaches an index.
    Drop(String),
}

/// A field that the gateway knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Once; no control characters, because something is decided by it.
    Line,
    /// Once; any text.
    Text,
    /// Any number of times; any text.
    List,
}

/// Why a form field is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A field that every uploader sends.
    #[error("the form field `{0}` is missing; send it once")]
    Missing(&'static str),
    /// A field that stands once: of two, every index takes another one.
    #[error("the form field `{}` is sent more than once; send it once", printable(.0))]
    Repeated(String),
    /// A file where a field belongs.
    #[error("the form field `{}` is sent as a file; only `content` and `gpg_signature` can be", printable(.0))]
    File(String),
    /// A field where the file belongs.
    #[error("the form field `content` has no file name; send the package as a file")]
    NotAFile,
    /// Not UTF-8, or with NUL.
    #[error("the form field `{}` is not UTF-8 text without NUL; encode it as UTF-8", printable(.0))]
    NotText(String),
    /// A control character where something is decided.
    #[error("the form field `{0}` contains a control character; send one plain line")]
    Control(&'static str),
    /// All fields together.
    #[error("the form fields are larger than {limit} bytes; shorten the description")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A value that is not among the possible ones.
    #[error("the form field `{field}` is `{}`; send {expected}", printable(.got))]
    Value {
        /// The form field.
        field: &'static str,
        /// What was sent.
        got: String,
        /// What can be sent.
        expected: &'static str,
    },
    /// A signature of another file: pypiserver stores it under its own name.
    #[error("the gpg_signature is named `{}`; name it like the package file, with .asc added", printable(.0))]
    Signature(String),
}

impl Form {
    pub(super) const fn new(limit: usize) -> Self {
        Self { fields: Vec::new(), room: limit, limit, attestations: false, content: None, signature: None }
    }

    /// Decides what becomes of a part, before its first byte.
    pub(super) fn open(&mut self, head: PartHead) -> Result<Slot, FieldError> {
        self.charge(head.name.len())?;
        match (head.name.as_str(), head.filename) {
            ("content", Some(filename)) => {
                once(&mut self.content, filename, head.name)?;
                Ok(Slot::Content)
            }
            ("content", None) => Err(FieldError::NotAFile),
            // Twine signs with a file, pdm with two fields. Neither is passed on: no index checks it.
            ("gpg_signature", Some(filename)) => {
                once(&mut self.signature, filename, head.name.clone())?;
                Ok(Slot::Drop(head.name))
            }
            (_, Some(_)) => Err(FieldError::File(head.name)),
            ("attestations", None) if self.attestations => Err(FieldError::Repeated(head.name)),
            ("attestations", None) => {
                self.attestations = true;
                Ok(Slot::Drop(head.name))
            }
            (name, None) => match FIELDS.iter().find(|field| field.name == name) {
                Some(field) if field.rule != Rule::List && self.get(field.name).is_some() => {
                    Err(FieldError::Repeated(head.name))
                }
                Some(field) => Ok(Slot::Keep(field)),
                None => Ok(Slot::Drop(head.name)),
            },
        }
    }

    /// Takes bytes off what is left for all fields together.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), FieldError> {
        self.room = self.room.checked_sub(bytes).ok_or(FieldError::TooLarge { limit: self.limit })?;
        Ok(())
    }

    /// Takes the whole value of a field that is kept.
    pub(super) fn keep(&mut self, field: &'static Field, value: Vec<u8>) -> Result<(), FieldError> {
        let value = text(field.name, value)?;
        if field.rule == Rule::Line && value.chars().any(char::is_control) {
            return Err(FieldError::Control(field.name));
        }
        self.fields.push((field, value));
        Ok(())
    }

    /// Looks at the whole value of a field that is dropped.
    pub(super) fn discard(name: &str, value: Vec<u8>) -> Result<(), FieldError> {
        text(name, value).map(|_| ())
    }

    /// The value of a field that stands once.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.name == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field that every upload has.
    pub(super) fn require(&self, name: &'static str) -> Result<&str, FieldError> {
        self.get(name).ok_or(FieldError::Missing(name))
    }

    pub(super) fn content_name(&self) -> Result<&str, FieldError> {
        self.content.as_deref().ok_or(FieldError::Missing("content"))
    }

    pub(super) fn signature_name(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    pub(super) const fn had_attestations(&self) -> bool {
        self.attestations
    }

    /// All that is kept, in the order of [`FIELDS`]; values of one field stay in the client's order.
    pub(super) fn into_fields(self) -> Vec<(&'static str, String)> {
        let mut ordered = Vec::with_capacity(self.fields.len());
        let mut fields = self.fields;
        for known in FIELDS {
            ordered.extend(
                fields.extract_if(.., |(field, _)| field.name == known.name).map(|(_, v)| (known.name, v)),
            );
        }
        ordered
    }
}

fn once(slot: &mut Option<String>, filename: String, name: String) -> Result<(), FieldError> {
    if slot.replace(filename).is_some() { Err(FieldError::Repeated(name)) } else { Ok(()) }
}

fn text(name: &str, value: Vec<u8>) -> Result<String, FieldError> {
    String::from_utf8(value)
        .ok()
        .filter(|value| !value.contains('\0'))
        .ok_or_else(|| FieldError::NotText(name.to_owned()))
}

const fn line(name: &'static str) -> Field {
    Field { name, rule: Rule::Line }
}

const fn text_once(name: &'static str) -> Field {
    Field { name, rule: Rule::Text }
}

const fn list(name: &'static str) -> Field {
    Field { name, rule: Rule::List }
}

/// Every field that an uploader of today sends, in the order in which we send them on. What indexes decide by comes
/// first, so that a long description cannot push it out of any buffer.
static FIELDS: &[Field] = &[
    line(":action"),
    line("protocol_version"),
    line("name"),
    line("version"),
    line("filetype"),
    line("pyversion"),
    line("metadata_version"),
    text_once("summary"),
    text_once("description_content_type"),
    text_once("keywords"),
    text_once("home_page"),
    text_once("download_url"),
    text_once("author"),
    text_once("author_email"),
    text_once("maintainer"),
    text_once("maintainer_email"),
    text_once("license"),
    text_once("license_expression"),
    list("license_file"),
    list("license_files"),
    text_once("requires_python"),
    list("classifiers"),
    list("platform"),
    list("supported_platform"),
    list("dynamic"),
    list("project_urls"),
    list("provides_extra"),
    list("provides_extras"),
    list("requires_dist"),
    list("provides_dist"),
    list("obsoletes_dist"),
    list("requires_external"),
    list("requires"),
    list("provides"),
    list("obsoletes"),
    list("import_names"),
    list("import_namespaces"),
    text_once("comment"),
    text_once("description"),
    line("md5_digest"),
    line("sha256_digest"),
    line("blake2_256_digest"),
];
