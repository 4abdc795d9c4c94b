//! A real, unmodified pypiserver 2.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::process::{Server, free_port, scratch_directory};
use super::python::Python;
use super::{hex, random, sha256};

/// The ordinary user, whose password is the user's name.
pub const BOB: &str = "bob";

/// The user whom the gateway uploads as.
pub const UPLOADER: &str = "indexgate";

/// A running pypiserver with the users `bob` and `indexgate`. Ends when dropped.
pub struct Pypiserver {
    server: Server,
    directory: TempDir,
    url: String,
    uploader_password: String,
}

impl Pypiserver {
    /// Starts an empty one; uploads need a password, reads do not.
    #[track_caller]
    pub fn start(python: &Python) -> Self {
        let directory = scratch_directory();
        fs::create_dir(directory.path().join("packages")).expect("the directory is new");
        let uploader_password = hex(&random::<12>());
        let htpasswd = [(BOB, BOB), (UPLOADER, uploader_password.as_str())].map(|(user, password)| {
            let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
            format!("{user}:{{SHA}}{}\n", STANDARD.encode(digest))
        });
        fs::write(directory.path().join("htpasswd"), htpasswd.concat()).expect("the file can be written");
        let (server, url) = launch(python, &directory);
        Self { server, directory, url, uploader_password }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The password of the user whom the gateway uploads as.
    pub fn uploader_password(&self) -> &str {
        &self.uploader_password
    }

    /// What pypiserver printed.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Where it stores.
    pub fn packages(&self) -> PathBuf {
        self.directory.path().join("packages")
    }

    /// All stored files with their sha256.
    pub fn files(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.packages()).expect("the directory is ours");
        let files = entries.map(|entry| {
            let entry = entry.expect("the directory is ours");
            let bytes = fs::read(entry.path()).expect("the file is ours");
            (entry.file_name().to_string_lossy().into_owned(), sha256(&bytes))
        });
        files.collect()
    }
}

fn launch(python: &Python, directory: &TempDir) -> (Server, String) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = free_port();
        let mut command = Command::new(python.tool("pypi-server"));
        command.args(["run", "-v", "--interface", "127.0.0.1", "--port", &port.to_string()]);
        // What a plain installation gets. Left to itself it would take the server that came with devpi.
        command.args([
            "--server",
            "wsgiref",
            "--disable-fallback",
            "--authenticate",
            "update",
            "--passwords",
        ]);
        command.arg(directory.path().join("htpasswd")).arg(directory.path().join("packages"));
        let mut server = Server::spawn("pypi-server", &mut command);
        match server.wait_until("serving", |_| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
            Ok(()) => return (server, format!("http://127.0.0.1:{port}")),
            Err(problem) if problem.contains("in use") && attempts < 5 => {}
            Err(problem) => panic!("{problem}"),
        }
    }
}
