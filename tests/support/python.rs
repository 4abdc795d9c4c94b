//! The Python environment with the real indexes and the real clients, made once under the target directory.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Instant;

use super::sha256;

/// What stands in the environment.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// A prepared virtual environment.
#[derive(Clone, Debug)]
pub struct Python {
    root: PathBuf,
}

impl Python {
    /// The environment, prepared if it is not.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Python, String>> = OnceLock::new();
        match SHARED.get_or_init(Self::prepare) {
            Ok(python) => python,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// Makes the environment unless it is there and whole. Several programs may ask at once: one works, the
    /// others wait.
    ///
    /// # Errors
    /// A sentence that says what is missing on this machine, and how to get it.
    pub fn prepare() -> Result<Self, String> {
        let target = target_directory()?;
        let python = Self { root: target.join("python") };
        let lock = File::create(target.join("python.lock"))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| format!("cannot lock {}: {error}", target.join("python.lock").display()))?;
        // The path is part of the stamp: scripts inside name their interpreter with its whole path.
        let stamp = format!("{} {}\n", sha256(REQUIREMENTS.as_bytes()), python.root.display());
        if fs::read_to_string(python.stamp()).is_ok_and(|found| found == stamp)
            && python.tool("python").exists()
        {
            return Ok(python);
        }
        python.make()?;
        // Written last: an environment without it was left half-made, and is made anew.
        fs::write(python.stamp(), stamp).map_err(|error| format!("cannot write the stamp: {error}"))?;
        drop(lock);
        Ok(python)
    }

    /// The path of a program in the environment.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// The directory of its programs.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    fn stamp(&self) -> PathBuf {
        self.root.join("indexgate-stamp")
    }

    fn make(&self) -> Result<(), String> {
        let begun = Instant::now();
        let base = env::var_os("INDEXGATE_TEST_PYTHON").unwrap_or_else(|| OsString::from("python3"));
        check_base(&base)?;
        tell(&format!("preparing devpi, pypiserver, uv, twine and pip in {} (once)", self.root.display()));
        if self.root.exists() {
            fs::remove_dir_all(&self.root)
                .map_err(|error| format!("cannot remove {}: {error}", self.root.display()))?;
        }
        tell("  1/2 python3 -m venv");
        run(Command::new(&base).args(["-m", "venv"]).arg(&self.root), "make a virtual environment")?;
        tell("  2/2 pip install -r tests/support/requirements.txt");
        let requirements = self.root.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS)
            .map_err(|error| format!("cannot write requirements: {error}"))?;
        let mut install = Command::new(self.tool("python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(
            install.arg(&requirements),
            "install the Python packages (pip needs to reach PyPI or a mirror of it)",
        )?;
        tell(&format!("  done in {:.0} s", begun.elapsed().as_secs_f32()));
        Ok(())
    }
}

/// Debian and Ubuntu ship `python3` without what `venv` needs: `ensurepip` tells.
fn check_base(base: &OsString) -> Result<(), String> {
    const PROBE: &str = "import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 11) else 3)";
    const FIX: &str = "Real devpi, uv and twine are part of this. Install Python 3.11 or newer with its venv module \
        (Debian, Ubuntu: `apt install python3-venv`; Fedora: `dnf install python3`; macOS: `brew install python`), \
        or name another interpreter in INDEXGATE_TEST_PYTHON.";
    let name = base.to_string_lossy();
    let probe = Command::new(base).args(["-c", PROBE]).output();
    match probe {
        Err(error) => Err(format!("cannot run `{name}`: {error}. {FIX}")),
        Ok(output) if output.status.code() == Some(3) => Err(format!("`{name}` is older than 3.11. {FIX}")),
        Ok(output) if !output.status.success() => Err(format!("`{name}` has no venv module. {FIX}")),
        Ok(_) => Ok(()),
    }
}

fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let output: io::Result<Output> = command.output();
    let output = output.map_err(|error| format!("cannot {what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(format!("cannot {what}: {command:?} failed ({}):\n{}{}", output.status, said[0], said[1]))
}

/// Straight to standard error: the test harness holds back what `eprintln!` prints.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The target directory of this build. Tests know it from cargo; an example finds it above itself.
pub fn target_directory() -> Result<PathBuf, String> {
    if let Some(temporary) = option_env!("CARGO_TARGET_TMPDIR") {
        return Ok(Path::new(temporary).parent().expect("it is <target>/tmp").to_owned());
    }
    let program =
        env::current_exe().map_err(|error| format!("cannot find out where this program lies: {error}"))?;
    let marked = program.ancestors().filter(|directory| directory.join("CACHEDIR.TAG").exists()).last();
    marked.map(Path::to_owned).ok_or_else(|| format!("{} is not in a target directory", program.display()))
}
