//! The gateway itself: its own binary, started with a written-out configuration.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::claims::Claims;
use super::devpi::{self, Devpi};
use super::issuer::Issuer;
use super::process::{Server, free_port, scratch_directory};
use super::pypiserver::{self, Pypiserver};
use super::raw::{Answer, Raw, Wire};
use super::tls::Authority;

/// The audience of every gateway here. It begins with a letter: Python clients and uv derive different names for
/// GitLab's variable from an address.
pub const AUDIENCE: &str = "pypi.corp.example";

/// A gateway that is not started yet.
pub struct Setup {
    authority: Arc<Authority>,
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
    top: String,
    listen: String,
    tables: String,
}

/// A running gateway. Ends when dropped.
pub struct Gateway {
    server: Server,
    authority: Arc<Authority>,
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
    url: String,
}

impl Setup {
    /// A gateway over TLS that serves nothing yet.
    pub fn new(authority: &Arc<Authority>) -> Self {
        let directory = scratch_directory();
        fs::create_dir(directory.path().join("secrets")).expect("the directory is new");
        let [top, listen, tables] = std::array::from_fn(|_| String::new());
        Self { authority: authority.clone(), directory, environment: Vec::new(), top, listen, tables }
    }

    /// Trusts `issuer` under this name.
    pub fn issuer(self, name: &str, preset: &str, issuer: &Issuer) -> Self {
        let ca_file = quoted(&self.authority.ca_file());
        self.also(&format!(
            "[[issuer]]\nname = \"{name}\"\npreset = \"{preset}\"\nurl = \"{}\"\nca_file = {ca_file}\n",
            issuer.url()
        ))
    }

    /// Stands in front of `devpi`, with the credential that we recommend for it.
    pub fn devpi(self, devpi: &Devpi) -> Self {
        self.secret("devpi", devpi.uploader_password()).also(&format!(
            "[[upstream]]\nname = \"devpi\"\nkind = \"devpi\"\nurl = \"{}\"\n\
             credential = {{ devpi_login = {{ username = \"{}\", password_file = \"secrets/devpi\" }} }}\n",
            devpi.url(),
            devpi::UPLOADER,
        ))
    }

    /// Stands in front of `pypiserver`.
    pub fn pypiserver(self, pypiserver: &Pypiserver) -> Self {
        self.secret("pypiserver", pypiserver.uploader_password()).also(&format!(
            "[[upstream]]\nname = \"pypiserver\"\nkind = \"pypiserver\"\nurl = \"{}\"\n\
             credential = {{ username = \"{}\", password_file = \"secrets/pypiserver\" }}\n",
            pypiserver.url(),
            pypiserver::UPLOADER,
        ))
    }

    /// Stands in front of anything, as user `indexgate` with the password `upstream-password`.
    pub fn upstream(self, name: &str, kind: &str, url: &str) -> Self {
        self.secret(name, "upstream-password").also(&format!(
            "[[upstream]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n\
             credential = {{ username = \"indexgate\", password_file = \"secrets/{name}\" }}\n"
        ))
    }

    /// Declares an index.
    pub fn index(self, name: &str, upstream: &str, upload_path: &str) -> Self {
        self.also(&format!(
            "[[index]]\nname = \"{name}\"\nupstream = \"{upstream}\"\nupload_path = \"{upload_path}\"\n"
        ))
    }

    /// Adds any tables: publishers, limits, restrictions.
    pub fn also(mut self, toml: &str) -> Self {
        self.tables.push_str(toml.trim());
        self.tables.push_str("\n\n");
        self
    }

    /// Adds keys that stand before all tables.
    pub fn top(mut self, toml: &str) -> Self {
        self.top.push_str(toml.trim_end());
        self.top.push('\n');
        self
    }

    /// Adds an environment variable; there are no others but `PATH`.
    pub fn environment(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Adds keys to `[listen]`.
    pub fn listen(mut self, toml: &str) -> Self {
        self.listen.push_str(toml.trim_end());
        self.listen.push('\n');
        self
    }

    /// Writes the file `secrets/{name}`, which only its owner can read.
    pub fn secret(self, name: &str, value: &str) -> Self {
        let path = self.directory.path().join("secrets").join(name);
        fs::write(&path, format!("{value}\n")).expect("the secret can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        self
    }

    /// Starts the gateway that was built with this program.
    #[track_caller]
    pub fn start(self) -> Gateway {
        self.try_start().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Starts the gateway that was built with this program.
    ///
    /// # Errors
    /// It ended before it listened. The text holds what it printed.
    pub fn try_start(self) -> Result<Gateway, String> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let address = format!("127.0.0.1:{}", free_port());
            let config = self.write_config(&address);
            match launch(&config, &self.environment) {
                Ok(server) => {
                    let Self { authority, directory, environment, .. } = self;
                    let url = format!("https://{address}");
                    return Ok(Gateway { server, authority, directory, environment, url });
                }
                Err(problem) if problem.contains("in use") && attempts < 5 => {}
                Err(problem) => return Err(problem),
            }
        }
    }

    fn write_config(&self, address: &str) -> PathBuf {
        let mut config = format!("public_url = \"https://{address}\"\n");
        if !self.top.contains("audience =") {
            let _ = writeln!(config, "audience = \"{AUDIENCE}\"");
        }
        let _ = writeln!(config, "{}", self.top.trim_end());
        let (certificate, key) = (self.authority.certificate_file(), self.authority.key_file());
        let tls = format!("{{ certificate_file = {}, key_file = {} }}", quoted(&certificate), quoted(&key));
        if !self.tables.contains("[listen]") {
            let _ = writeln!(config, "[listen]\naddress = \"{address}\"\ntls = {tls}\n{}", self.listen);
        }
        if !self.tables.contains("[audit]") {
            let _ =
                writeln!(config, "[audit]\nfile = {}\n", quoted(&self.directory.path().join("audit.jsonl")));
        }
        config.push_str(&self.tables);
        let path = self.directory.path().join("indexgate.toml");
        fs::write(&path, config).expect("the configuration can be written");
        path
    }
}

/// Starts the gateway that was built with this program, and waits until it listens.
fn launch(config: &Path, environment: &[(&'static str, String)]) -> Result<Server, String> {
    let mut command = Command::new(binary());
    // A proxy or a certificate file of this machine is none of its business.
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(environment.iter().cloned());
    command.current_dir(config.parent().expect("a file lies in a directory"));
    command.arg("serve").arg("--config").arg(config);
    let mut server = Server::spawn("indexgate", &mut command);
    server.wait_until("listening", |log| log.contains("listening on http"))?;
    Ok(server)
}

impl Gateway {
    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills it as a power cut would, and starts it again in its place with its configuration edited.
    #[track_caller]
    pub fn restart(self, edit: impl FnOnce(String) -> String) -> Self {
        let config = self.config_file();
        let Self { mut server, authority, directory, environment, url } = self;
        server.signal("KILL");
        server.wait(Duration::from_secs(10));
        let edited = edit(fs::read_to_string(&config).expect("it was written"));
        fs::write(&config, edited).expect("the configuration can be written");
        let server = launch(&config, &environment).unwrap_or_else(|problem| panic!("{problem}"));
        Self { server, authority, directory, environment, url }
    }

    /// Where its configuration, secrets and state lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration as written.
    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join("indexgate.toml")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// The process, for signals and its log.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Everything that it printed.
    pub fn log(&self) -> Vec<String> {
        self.server.log().lines()
    }

    /// A connection to it.
    #[track_caller]
    pub fn wire(&self) -> Wire {
        Wire::open(&self.url, Some(&self.authority))
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn ask(&self, request: &Raw) -> Answer {
        request.send_to(&self.url, Some(&self.authority))
    }

    /// Exchanges an identity token, whatever comes of it.
    #[track_caller]
    pub fn mint(&self, identity_token: &str) -> Answer {
        self.ask(&Raw::new("POST /_/oidc/mint-token").json(&json!({ "token": identity_token })))
    }

    /// An upload token for the job that these claims describe. Panics if it is refused.
    #[track_caller]
    pub fn upload_token(&self, issuer: &Issuer, claims: &Claims) -> String {
        let answer = self.mint(&issuer.token(claims, AUDIENCE));
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()["token"].as_str().expect("the answer has a token").to_owned()
    }

    /// The audit lines so far.
    #[track_caller]
    pub fn audit_lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.path().join("audit.jsonl")).unwrap_or_default();
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in audit line {line}"));
        // The last line may be half-written yet.
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(parse).collect()
    }

    /// The audit lines that contain `text` anywhere, once there is one. None if none comes.
    pub fn audit_about(&self, text: &str) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let lines = self.audit_lines().into_iter().filter(|line| line.to_string().contains(text));
            let lines: Vec<_> = lines.collect();
            if !lines.is_empty() || Instant::now() > deadline {
                return lines;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The gateway's binary: tests know it from cargo, an example finds it beside itself.
pub fn binary() -> PathBuf {
    if let Some(binary) = option_env!("CARGO_BIN_EXE_indexgate") {
        return binary.into();
    }
    let program = std::env::current_exe().expect("this program lies somewhere");
    let profile =
        program.parent().and_then(Path::parent).expect("examples lie in <target>/<profile>/examples");
    profile.join("indexgate")
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}
