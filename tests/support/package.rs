//! Packages to upload: small real wheels and sdists with any name, version and metadata, and one project that the
//! real build tools build.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blake2::Digest as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;

use super::sha256;

/// A distribution file and what it says about itself.
#[derive(Clone, Debug)]
pub struct Package {
    /// The project as the metadata writes it.
    pub project: String,
    /// The version as the metadata writes it.
    pub version: String,
    /// What the file is called.
    pub file_name: String,
    /// The archive.
    pub bytes: Vec<u8>,
}

impl Package {
    /// A wheel that pip can install.
    pub fn wheel(project: &str, version: &str) -> Self {
        Self::wheel_with(project, version, &metadata(project, version), b"")
    }

    /// A wheel whose `METADATA` is `metadata` and which carries `payload` besides.
    pub fn wheel_with(project: &str, version: &str, metadata: &str, payload: &[u8]) -> Self {
        let stem = stem(project);
        let info = format!("{stem}-{version}.dist-info");
        let wheel =
            "Wheel-Version: 1.0\nGenerator: indexgate-tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let mut files = vec![
            (format!("{stem}/__init__.py"), format!("VERSION = {version:?}\n").into_bytes()),
            (format!("{info}/METADATA"), metadata.as_bytes().to_vec()),
            (format!("{info}/WHEEL"), wheel.as_bytes().to_vec()),
        ];
        if !payload.is_empty() {
            files.insert(1, (format!("{stem}/payload.bin"), payload.to_vec()));
        }
        let record = format!("{info}/RECORD");
        let lines = files.iter().map(|(name, bytes)| record_line(name, bytes)).collect::<String>();
        files.push((record.clone(), format!("{lines}{record},,\n").into_bytes()));
        Self {
            project: project.to_owned(),
            version: version.to_owned(),
            file_name: format!("{stem}-{version}-py3-none-any.whl"),
            bytes: zip_of(&files),
        }
    }

    /// A source distribution.
    pub fn sdist(project: &str, version: &str) -> Self {
        Self::sdist_with(project, version, &metadata(project, version), b"")
    }

    /// A source distribution whose `PKG-INFO` is `metadata` and which carries `payload` besides.
    pub fn sdist_with(project: &str, version: &str, metadata: &str, payload: &[u8]) -> Self {
        let stem = stem(project);
        let top = format!("{stem}-{version}");
        let project_file = format!("[project]\nname = {project:?}\nversion = {version:?}\n");
        let mut files = vec![
            (format!("{top}/PKG-INFO"), metadata.as_bytes().to_vec()),
            (format!("{top}/pyproject.toml"), project_file.into_bytes()),
            (format!("{top}/{stem}/__init__.py"), format!("VERSION = {version:?}\n").into_bytes()),
        ];
        if !payload.is_empty() {
            files.push((format!("{top}/payload.bin"), payload.to_vec()));
        }
        Self {
            project: project.to_owned(),
            version: version.to_owned(),
            file_name: format!("{top}.tar.gz"),
            bytes: tar_of(&files),
        }
    }

    /// A distribution that lies on disk. Its name tells project and version.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let file_name =
            path.file_name().and_then(|name| name.to_str()).expect("a file has a name").to_owned();
        let mut words = file_name.trim_end_matches(".tar.gz").split('-');
        let (project, version) = (words.next().expect("a project"), words.next().expect("a version"));
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        Self { project: project.to_owned(), version: version.to_owned(), file_name, bytes }
    }

    /// Puts the file into `directory`.
    pub fn write_to(&self, directory: &Path) -> PathBuf {
        let path = directory.join(&self.file_name);
        fs::create_dir_all(directory).expect("the directory can be made");
        fs::write(&path, &self.bytes).expect("the file can be written");
        path
    }

    /// `sha256_digest`.
    pub fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    /// `blake2_256_digest`.
    pub fn blake2_256(&self) -> String {
        super::hex(&blake2::Blake2b::<blake2::digest::consts::U32>::digest(&self.bytes))
    }

    /// `filetype`.
    pub fn file_type(&self) -> &'static str {
        if self.is_wheel() { "bdist_wheel" } else { "sdist" }
    }

    /// `pyversion`.
    pub fn python_version(&self) -> &'static str {
        if self.is_wheel() { "py3" } else { "source" }
    }

    fn is_wheel(&self) -> bool {
        self.file_name.ends_with(".whl")
    }
}

/// The smallest metadata that everybody accepts.
pub fn metadata(project: &str, version: &str) -> String {
    format!("Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nSummary: made by a test\n")
}

/// The project part of a file name: lower case, with `_` for any run of `-`, `_` and `.`.
fn stem(project: &str) -> String {
    let words = project.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

fn record_line(name: &str, bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format!("{name},sha256={},{}\n", URL_SAFE_NO_PAD.encode(digest), bytes.len())
}

/// A zip file with these entries, as many as there are, under these very names.
pub fn zip_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(name, SimpleFileOptions::default()).expect("the name is new");
        archive.write_all(bytes).expect("memory takes it");
    }
    archive.finish().expect("memory takes it").into_inner()
}

/// A gzipped tar file with these entries, under these very names.
pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice()).expect("the name is valid");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("memory takes it")
}

/// Writes the sources of a small project, for the real build tools.
pub fn write_project(directory: &Path, project: &str, version: &str) {
    let module = directory.join(stem(project));
    fs::create_dir_all(&module).expect("the directory can be made");
    let description = format!(
        "[build-system]\nrequires = [\"flit_core\"]\nbuild-backend = \"flit_core.buildapi\"\n\n\
        [project]\nname = \"{project}\"\nversion = \"{version}\"\ndescription = \"A project to publish\"\n"
    );
    fs::write(directory.join("pyproject.toml"), description).expect("the file can be written");
    fs::write(module.join("__init__.py"), format!("VERSION = \"{version}\"\n"))
        .expect("the file can be written");
}
