//! A real, unmodified devpi-server 6.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Server, free_port, scratch_directory};
use super::python::Python;
use super::raw::{Raw, basic};
use super::{hex, random};

/// The ordinary user who may upload, and whose password is the user's name.
pub const BOB: &str = "bob";

/// The user whom the gateway uploads as. Owns nothing.
pub const UPLOADER: &str = "indexgate";

/// The owner of all indexes.
pub const OWNER: &str = "alice";

/// A running devpi with the users `alice`, `bob` and `indexgate`. Ends when dropped.
pub struct Devpi {
    server: Server,
    directory: TempDir,
    url: String,
    uploader_password: String,
    root_token: String,
}

/// One index of it.
#[derive(Clone, Debug)]
pub struct Index {
    /// `alice/prod`.
    pub name: String,
    /// `/alice/prod/`: the upload path.
    pub path: String,
    url: String,
}

/// What devpi says about one stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its digest.
    pub sha256: String,
    /// The devpi user who put it there.
    pub who: String,
    /// Where to get it, as seen from devpi.
    pub href: String,
}

impl Devpi {
    /// One devpi for a whole test program; tests keep apart by using an index each.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Devpi> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Python::shared()))
    }

    /// A devpi of one's own, empty but for its users.
    #[track_caller]
    pub fn start(python: &Python) -> Self {
        let directory = scratch_directory();
        let root_password = hex(&random::<12>());
        init(python, directory.path(), &root_password);
        let (server, url) = launch(python, directory.path());
        let uploader_password = hex(&random::<12>());
        let root_token = login(&url, "root", &root_password);
        for (user, password) in [(OWNER, OWNER), (BOB, BOB), (UPLOADER, uploader_password.as_str())] {
            put(&url, &format!("/{user}"), &root_token, &json!({ "password": password }));
        }
        Self { server, directory, url, uploader_password, root_token }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The password of the user whom the gateway uploads as.
    pub fn uploader_password(&self) -> &str {
        &self.uploader_password
    }

    /// What devpi printed.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Makes an index that nobody else uses.
    #[track_caller]
    pub fn fresh_index(&self) -> Index {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        self.make_index(&format!("prod-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Makes the index `alice/{name}`: non-volatile, no bases, `indexgate` and `bob` may upload.
    #[track_caller]
    pub fn make_index(&self, name: &str) -> Index {
        let settings =
            json!({"type": "stage", "bases": [], "volatile": false, "acl_upload": [UPLOADER, BOB]});
        put(&self.url, &format!("/{OWNER}/{name}"), &self.root_token, &settings);
        Index { name: format!("{OWNER}/{name}"), path: format!("/{OWNER}/{name}/"), url: self.url.clone() }
    }
}

impl Index {
    /// All release files in it, by file name.
    #[track_caller]
    pub fn files(&self) -> BTreeMap<String, Stored> {
        let index = self.get("");
        let projects = index["result"]["projects"].as_array().expect("an index lists its projects");
        let mut files = BTreeMap::new();
        for project in projects {
            let project = self.get(project.as_str().expect("a project is a name"));
            let versions = project["result"].as_object().expect("a project lists its versions");
            for link in
                versions.values().flat_map(|version| version["+links"].as_array().into_iter().flatten())
            {
                let href = text(&link["href"]);
                let name = href.rsplit('/').next().expect("split gives one at least").to_owned();
                let (sha256, who) = (text(&link["hashes"]["sha256"]), text(&link["log"][0]["who"]));
                files.insert(name, Stored { sha256, who, href });
            }
        }
        files
    }

    /// The names of the projects in it, those without files included.
    #[track_caller]
    pub fn projects(&self) -> Vec<String> {
        let index = self.get("");
        index["result"]["projects"].as_array().into_iter().flatten().map(text).collect()
    }

    #[track_caller]
    fn get(&self, project: &str) -> Value {
        let request = Raw::new(&format!("GET {}{project}", self.path)).header("Accept", "application/json");
        let answer = request.send_to(&self.url, None);
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn init(python: &Python, directory: &Path, root_password: &str) {
    let mut init = Command::new(python.tool("devpi-init"));
    init.args(["--no-root-pypi", "--root-passwd", root_password, "--serverdir"])
        .arg(directory.join("server"));
    let output = init.output().expect("devpi-init is in the environment");
    assert!(output.status.success(), "devpi-init failed: {}", String::from_utf8_lossy(&output.stderr));
    let secret = directory.join("secret");
    fs::write(&secret, STANDARD.encode(random::<32>())).expect("the secret can be written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
}

fn launch(python: &Python, directory: &Path) -> (Server, String) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = free_port().to_string();
        let mut command = Command::new(python.tool("devpi-server"));
        command.args(["--host", "127.0.0.1", "--port", &port, "--restrict-modify", "root", "--secretfile"]);
        command.arg(directory.join("secret")).arg("--serverdir").arg(directory.join("server"));
        // Deriving the key of its login tokens takes 4 s of a start of 4.5 s by default; passwords are not affected.
        command.args(["--argon2-memory-cost", "1024", "--argon2-time-cost", "1"]);
        let mut server = Server::spawn("devpi-server", &mut command);
        match server.wait_until("serving", |log| log.contains("Serving on http://127.0.0.1")) {
            Ok(()) => return (server, format!("http://127.0.0.1:{port}")),
            Err(problem) if problem.contains("in use") && attempts < 5 => {}
            Err(problem) => panic!("{problem}"),
        }
    }
}

/// A login token, good for ten hours and much cheaper for devpi than a password.
#[track_caller]
fn login(url: &str, user: &str, password: &str) -> String {
    let answer =
        Raw::new("POST /+login").json(&json!({ "user": user, "password": password })).send_to(url, None);
    assert_eq!(answer.status, 200, "{answer}");
    text(&answer.json()["result"]["password"])
}

#[track_caller]
fn put(url: &str, path: &str, root_token: &str, body: &Value) {
    let request = Raw::new(&format!("PUT {path}")).header("Authorization", basic("root", root_token));
    let answer = request.header("Accept", "application/json").json(body).send_to(url, None);
    assert!((200..300).contains(&answer.status), "PUT {path}: {answer}");
}

/// The value of `X-Devpi-Auth`.
pub fn devpi_auth(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}
