//! Builds forms and packages for tests: begin with a valid one, spoil one detail.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;

use super::{Receiver, Upload, UploadError, UploadLimits};

pub(super) const BOUNDARY: &str = "XBX";

/// A multipart body in the making.
#[derive(Clone, Default)]
pub(super) struct FormBuilder(Vec<u8>);

pub(super) fn form() -> FormBuilder {
    FormBuilder::default()
}

/// All fields that an upload of `own 1.0` needs, without the file.
pub(super) fn own_fields() -> FormBuilder {
    form()
        .field(":action", "file_upload")
        .field("protocol_version", "1")
        .field("metadata_version", "2.4")
        .field("name", "own")
        .field("version", "1.0")
        .field("filetype", "sdist")
}

/// A correct upload of `own-1.0.tar.gz`.
pub(super) fn own() -> FormBuilder {
    own_fields().sdist("own-1.0.tar.gz")
}

impl FormBuilder {
    pub(super) fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    pub(super) fn file(self, name: &str, filename: &str, data: &[u8]) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\""), data)
    }

    /// The sdist of `own 1.0` under any file name.
    pub(super) fn sdist(self, filename: &str) -> Self {
        self.file("content", filename, &sdist("own", "1.0"))
    }

    pub(super) fn part(self, head: &str, value: &[u8]) -> Self {
        self.raw(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes()).raw(value).raw(b"\r\n")
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.raw(format!("--{BOUNDARY}--\r\n").as_bytes()).0
    }

    pub(super) fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn receive(self) -> Result<Upload, UploadError> {
        receive(&self.end())
    }

    #[track_caller]
    pub(super) fn accepted(self) -> Upload {
        self.receive().unwrap_or_else(|error| panic!("refused: {error}"))
    }

    #[track_caller]
    pub(super) fn refused(self, why: &str) {
        refused(&self.end(), why);
    }
}

pub(super) fn receive(body: &[u8]) -> Result<Upload, UploadError> {
    receive_in(body, body.len().max(1), &UploadLimits::default())
}

pub(super) fn receive_in(body: &[u8], piece: usize, limits: &UploadLimits) -> Result<Upload, UploadError> {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut receiver = Receiver::new(content_type.as_bytes(), limits, &std::env::temp_dir())?;
    body.chunks(piece).try_for_each(|chunk| receiver.push(chunk))?;
    receiver.finish()
}

/// Refused, with a text that contains `why` and is fit for a reason phrase.
#[track_caller]
pub(super) fn refused(body: &[u8], why: &str) {
    match receive(body) {
        Ok(upload) => panic!("accepted as {}", upload.file_name()),
        Err(error) => check_message(&error, why),
    }
}

#[track_caller]
pub(super) fn check_message(error: &UploadError, why: &str) {
    let text = error.to_string();
    assert!(text.contains(why), "{text:?} does not say {why:?}");
    assert!(text.chars().all(|c| c == ' ' || c == '…' || c.is_ascii_graphic()), "{text:?}");
    assert!(text.len() < 400 && !text.contains("already exist"), "{text:?}");
    assert!(text.contains("; "), "{text:?} does not say what to do");
}

pub(super) fn metadata(name: &str, version: &str) -> String {
    format!(
        "Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nSummary: made by a test\n\nName: body\n"
    )
}

pub(super) fn sdist(name: &str, version: &str) -> Vec<u8> {
    let top = format!("{name}-{version}");
    tar_gz(&[
        (&format!("{top}/pyproject.toml"), b"[project]\n"),
        (&format!("{top}/PKG-INFO"), metadata(name, version).as_bytes()),
        (&format!("{top}/src/{name}.egg-info/PKG-INFO"), metadata("victim", "9").as_bytes()),
    ])
}

pub(super) fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    gzip(&tar(files))
}

pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in files {
        append(&mut tar, tar::EntryType::Regular, path, data);
    }
    tar.into_inner().unwrap()
}

/// Appends an entry without any of the library's own checks on its path.
pub(super) fn append(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &str, data: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

pub(super) fn wheel(name: &str, version: &str) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    zip_of(&[
        (&format!("{name}/__init__.py"), b"print('own')\n"),
        (&format!("{name}/_vendor/victim-9.dist-info/METADATA"), metadata("victim", "9").as_bytes()),
        (&format!("{info}/METADATA"), metadata(name, version).as_bytes()),
        (&format!("{info}/WHEEL"), b"Wheel-Version: 1.0\n"),
    ])
}

pub(super) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(SimpleFileOptions::default(), files)
}

pub(super) fn zip_with(options: SimpleFileOptions, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, data) in files {
        zip.start_file(*path, options).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An upload of a wheel of `own 1.0` with these bytes.
pub(super) fn own_wheel(wheel: &[u8]) -> FormBuilder {
    form()
        .field(":action", "file_upload")
        .field("name", "own")
        .field("version", "1.0")
        .field("filetype", "bdist_wheel")
        .file("content", "own-1.0-py3-none-any.whl", wheel)
}

/// An upload of an sdist of `own 1.0` with these bytes.
pub(super) fn own_sdist(sdist: &[u8]) -> FormBuilder {
    own_fields().file("content", "own-1.0.tar.gz", sdist)
}

/// The whole rebuilt body.
pub(super) fn all_bytes(body: &super::RebuiltBody, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = body.read_at(all.len() as u64, piece).unwrap();
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(&bytes);
    }
}
