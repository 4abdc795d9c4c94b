//! The real clients, each run as in a clean CI job: an environment with nothing in it but what is said here.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::issuer::Job;
use super::process::scratch_directory;
use super::python::Python;
use super::tls::Authority;

/// No client needs a tenth of it; a client that asks for a password would wait for ever.
const LIMIT: Duration = Duration::from_secs(120);

/// A home directory for clients, with the certificates that they trust.
pub struct Workshop {
    python: Python,
    home: TempDir,
    ca_file: PathBuf,
}

impl Workshop {
    /// An empty home whose clients trust `authority` and nobody else.
    pub fn new(python: &Python, authority: &Authority) -> Self {
        let home = scratch_directory();
        Self { python: python.clone(), home, ca_file: authority.ca_file() }
    }

    /// A directory below the home, made if it is not there.
    pub fn directory(&self, name: &str) -> PathBuf {
        let directory = self.home.path().join(name);
        std::fs::create_dir_all(&directory).expect("the directory can be made");
        directory
    }

    /// `uv …`
    pub fn uv(&self) -> Run {
        self.run("uv")
            .env("UV_NO_CONFIG", "1")
            .env("UV_NO_PROGRESS", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_PYTHON", self.python.tool("python"))
    }

    /// `uv publish` as in a job with `id-token: write`: the only credential is the job's identity.
    pub fn uv_publish(&self, upload_url: &str, files: &[PathBuf]) -> Run {
        self.uv()
            .args(["publish", "--trusted-publishing", "always", "--publish-url", upload_url])
            .paths(files)
    }

    /// `twine …`
    pub fn twine(&self) -> Run {
        self.run("twine").env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    }

    /// `twine upload` with a user and a password, or `__token__` and an upload token.
    pub fn twine_upload(&self, upload_url: &str, user: &str, password: &str, files: &[PathBuf]) -> Run {
        self.twine()
            .args(["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", upload_url])
            .paths(files)
            .env("TWINE_USERNAME", user)
            .env("TWINE_PASSWORD", password)
    }

    /// `pip …`
    pub fn pip(&self) -> Run {
        // This machine's own index is not the one that is asked here.
        self.run("pip").env("PIP_CONFIG_FILE", "/dev/null").env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    }

    /// `devpi …`
    pub fn devpi(&self) -> Run {
        self.run("devpi")
    }

    /// Any other program of the environment.
    pub fn run(&self, program: &str) -> Run {
        let mut command = Command::new(self.python.tool(program));
        command.env_clear().current_dir(self.home.path()).stdin(Stdio::null());
        let run = Run { program: program.to_owned(), command, shown: Vec::new() };
        let path = format!("{}:/usr/bin:/bin", self.python.bin().display());
        let mut run =
            run.env("PATH", path).env("HOME", self.home.path()).env("LANG", "C.UTF-8").env("NO_COLOR", "1");
        // Each client looks somewhere else for the certificates that it trusts.
        for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"] {
            run = run.env(name, &self.ca_file);
        }
        run.env("COLUMNS", "100").env("TMPDIR", self.directory("tmp"))
    }
}

/// A client about to be run.
pub struct Run {
    program: String,
    command: Command,
    shown: Vec<String>,
}

impl Run {
    /// Adds arguments.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        for arg in args {
            self.command.arg(arg);
            self.shown.push(arg.to_owned());
        }
        self
    }

    /// Adds paths as arguments.
    pub fn paths(mut self, paths: &[PathBuf]) -> Self {
        for path in paths {
            self.command.arg(path);
            self.shown.push(path.display().to_string());
        }
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in this directory.
    pub fn inside(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Runs as this job of GitHub Actions.
    pub fn github(self, job: &Job) -> Self {
        self.env("CI", "true")
            .env("GITHUB_ACTIONS", "true")
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", &job.request_url)
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &job.request_token)
    }

    /// Runs as a job of GitLab CI that was given this identity token.
    pub fn gitlab(self, audience: &str, identity_token: &str) -> Self {
        let name =
            audience.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        let name = name.chain("_ID_TOKEN".chars()).collect::<String>();
        self.env("CI", "true").env("GITLAB_CI", "true").env(&name, identity_token)
    }

    /// The command line as a user would type it.
    pub fn shown(&self) -> String {
        format!("{} {}", self.program, self.shown.join(" "))
    }

    /// The environment that the client gets, in the order of the names.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = self.command.get_envs();
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        pairs.filter_map(|(name, value)| value.map(|value| (text(name), text(value)))).collect()
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Outcome {
        let begun = Instant::now();
        let spawned = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot run {}: {error}", self.program));
        let stdout = read_all(child.stdout.take().expect("piped above"));
        let stderr = read_all(child.stderr.take().expect("piped above"));
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                break status;
            }
            if begun.elapsed() > LIMIT {
                let _ = child.kill();
                let said = stderr.join().expect("reading does not panic");
                panic!("{} does not end: {said}", self.shown());
            }
            thread::sleep(Duration::from_millis(5));
        };
        Outcome {
            command: self.shown(),
            code: status.code(),
            stdout: stdout.join().expect("reading does not panic"),
            stderr: stderr.join().expect("reading does not panic"),
            took: begun.elapsed(),
        }
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown all the same.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What came of a client's run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command line.
    pub command: String,
    /// The exit code, if it was not killed.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Outcome {
    /// Whether it ended with 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Everything that its user sees.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Panics unless it ended with 0.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.succeeded(), "{self}");
        self
    }

    /// Panics unless it failed and its user sees all of `words`.
    #[track_caller]
    pub fn expect_failure(self, words: &[&str]) -> Self {
        assert!(!self.succeeded(), "should have failed: {self}");
        // Clients wrap long texts where they like.
        let seen = self.text().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(seen.contains(word), "{word:?} is missing in {self}");
        }
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        write!(f, "$ {}\n{}{}(ended with {code})", self.command, self.stdout, self.stderr)
    }
}
