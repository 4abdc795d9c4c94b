//! The files that a configuration is read from, each as it was just before it was read: so a reload knows that something
//! has changed since, or while it was reading.
//!
//! They are looked at again and again instead of being watched by the kernel. A look follows symbolic links and sees what
//! is there, so it works where notices of single files go astray: a file replaced by `rename`, a mounted volume whose
//! folder is swapped as a whole (Kubernetes), a network file system, a name that is not there yet. It costs one `stat` a
//! file, and needs no limit raised.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::policy::{Compare, Glob};

/// Files, and patterns of file names, with what was found there. Two equal ones: nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    patterns: BTreeSet<PathBuf>,
    found: BTreeMap<PathBuf, Option<Stamp>>,
}

/// What changes when a file is written to, replaced, or given to other readers, even if its time is set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// Remembers a file that is about to be read. The first look counts: what changes afterwards is a change.
    pub fn note(&mut self, path: &Path) {
        self.found.entry(path.to_owned()).or_insert_with(|| Stamp::of(path));
    }

    /// Remembers a pattern whose files are about to be read.
    pub fn note_matching(&mut self, pattern: &Path) {
        self.patterns.insert(pattern.to_owned());
    }

    /// Remembers a file that may just have been made by the gateway itself.
    pub fn note_made(&mut self, path: &Path) {
        self.found.insert(path.to_owned(), Stamp::of(path));
    }

    /// The same files as they are now, and whatever matches the patterns now.
    pub fn look_again(&self) -> Self {
        let mut now = Self { patterns: self.patterns.clone(), found: BTreeMap::new() };
        // A folder that cannot be listed holds nothing, which is a change if it held something.
        let matching = self.patterns.iter().filter_map(|pattern| matching_files(pattern).ok()).flatten();
        matching.for_each(|path| now.note(&path));
        self.found.keys().for_each(|path| now.note(path));
        now
    }
}

impl Stamp {
    /// None if there is no such file, or none that we may see.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The files that a pattern names: `*` and `?` may stand in the file name, and hidden files match none.
pub fn matching_files(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let glob: Glob = name.parse().map_err(io::Error::other)?;
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let visible = file_name.to_str().filter(|name| !name.starts_with('.'));
        if visible.is_some_and(|name| glob.matches(name, Compare::Exact)) {
            found.push(folder.join(file_name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Notes `watched` and everything that matches `*.toml`; says whether `change` was noticed.
    #[track_caller]
    fn check(watched: &str, change: impl FnOnce(&Path), noticed: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.toml"), "one").unwrap();
        fs::create_dir(path("v1")).unwrap();
        fs::write(path("v1/linked"), "one").unwrap();
        symlink("v1", path("current")).unwrap();
        let mut files = Files::default();
        files.note_matching(&path("*.toml"));
        files.note(&path("a.toml"));
        files.note(&path(watched));
        assert_eq!(files.look_again(), files, "nothing has changed yet");
        change(folder.path());
        assert_eq!(files.look_again() != files, noticed);
    }

    #[test]
    fn whatever_happens_to_a_file_is_noticed() {
        check("x", |folder| fs::write(folder.join("a.toml"), "two").unwrap(), true);
        check("x", |folder| fs::remove_file(folder.join("a.toml")).unwrap(), true);
        check("x", |folder| fs::write(folder.join("b.toml"), "").unwrap(), true);
        check("x", |folder| fs::write(folder.join("x"), "").unwrap(), true);
        let chmod = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        check("x", |folder| chmod(&folder.join("a.toml")), true);
    }

    #[test]
    fn a_file_replaced_by_one_of_the_same_size_and_time_is_noticed() {
        let replace = |folder: &Path| {
            let (old, new) = (folder.join("a.toml"), folder.join("new"));
            fs::write(&new, "two").unwrap();
            let time = fs::metadata(&old).unwrap().modified().unwrap();
            fs::File::options().write(true).open(&new).unwrap().set_modified(time).unwrap();
            fs::rename(new, old).unwrap();
        };
        check("x", replace, true);
    }

    #[test]
    fn a_folder_swapped_by_its_link_is_noticed() {
        let swap = |folder: &Path| {
            fs::create_dir(folder.join("v2")).unwrap();
            fs::write(folder.join("v2/linked"), "one").unwrap();
            symlink("v2", folder.join("next")).unwrap();
            fs::rename(folder.join("next"), folder.join("current")).unwrap();
        };
        check("current/linked", swap, true);
    }

    #[test]
    fn files_that_nobody_reads_are_not_noticed() {
        check("x", |folder| fs::write(folder.join(".a.toml"), "").unwrap(), false);
        check("x", |folder| fs::write(folder.join("a.toml~"), "").unwrap(), false);
    }
}
