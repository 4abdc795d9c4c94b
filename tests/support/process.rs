//! A server in a child process: what it prints is kept, and it does not outlive us, however we end.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take until it answers. Far more than any needs, even on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// A running child process with its output. Killed when dropped.
pub struct Server {
    name: String,
    child: Child,
    log: Arc<Log>,
    stdout: Arc<Log>,
}

impl Server {
    /// Starts `command` with its output collected and nothing on its standard input.
    #[track_caller]
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own process group: a Ctrl-C in the terminal reaches us, and we end it in order.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Undertaker::tell("kill", &child.id().to_string());
        let (log, stdout) = (Arc::new(Log::default()), Arc::new(Log::default()));
        collect(child.stdout.take().expect("piped above"), vec![log.clone(), stdout.clone()]);
        collect(child.stderr.take().expect("piped above"), vec![log.clone()]);
        Self { name: name.to_owned(), child, log, stdout }
    }

    /// Waits until `ready` says yes.
    ///
    /// # Errors
    /// The server has ended, or it takes too long. The text holds everything that it printed.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut(&Log) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if ready(&self.log) {
                return Ok(());
            }
            if let Some(status) = self.exited() {
                // Its last words may still be in the pipe.
                self.log.wait_closed(Duration::from_secs(2));
                return Err(format!("{} ended ({status}) before {what}. It said:\n{}", self.name, self.log));
            }
            if Instant::now() > deadline {
                return Err(format!("{} is not {what} after {START:?}. It said:\n{}", self.name, self.log));
            }
            self.log.wait_for_more(Duration::from_millis(20));
        }
    }

    /// All lines so far, standard output and standard error in the order of their arrival.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The lines on standard output alone.
    pub fn stdout(&self) -> &Log {
        &self.stdout
    }

    /// The process id, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (`TERM`, `HUP`, …).
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status().expect("kill is everywhere");
        assert!(status.success(), "cannot send {signal} to {}", self.name);
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {limit:?}:\n{}", self.name, self.log);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        Undertaker::tell("gone", &self.id().to_string());
    }
}

/// The lines that a process has printed so far.
#[derive(Default)]
pub struct Log {
    state: Mutex<(Vec<String>, usize)>,
    more: Condvar,
}

impl Log {
    /// A copy of the lines.
    pub fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().0.clone()
    }

    /// Whether a line contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.state.lock().unwrap().0.iter().any(|line| line.contains(text))
    }

    fn push(&self, line: String) {
        self.state.lock().unwrap().0.push(line);
        self.more.notify_all();
    }

    fn wait_for_more(&self, limit: Duration) {
        let state = self.state.lock().unwrap();
        let _ = self.more.wait_timeout(state, limit).unwrap();
    }

    fn wait_closed(&self, limit: Duration) {
        let state = self.state.lock().unwrap();
        let _ = self.more.wait_timeout_while(state, limit, |(_, writers)| *writers > 0).unwrap();
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "    | {line}")?;
        }
        Ok(())
    }
}

fn collect(pipe: impl Read + Send + 'static, logs: Vec<Arc<Log>>) {
    for log in &logs {
        log.state.lock().unwrap().1 += 1;
    }
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        // A server may print what is not UTF-8; that must not end the reading, or it blocks on a full pipe.
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            logs.iter().for_each(|log| log.push(text.clone()));
            line.clear();
        }
        for log in &logs {
            log.state.lock().unwrap().1 -= 1;
            log.more.notify_all();
        }
    });
}

/// A loopback port that is free now. Somebody else may take it before it is used: callers try again.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A directory that is gone after us: removed when dropped, or at the end of the program if that never happens.
pub fn scratch_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    Undertaker::tell("remove", directory.path().to_str().expect("temporary directories have plain names"));
    directory
}

/// Ends servers and removes directories after us when we could not do it: a `static` is never dropped, and a
/// test run that is killed drops nothing. It is a shell that reads from a pipe of ours; the pipe ends when we do.
struct Undertaker;

impl Undertaker {
    #[expect(clippy::zombie_processes, reason = "it ends after us, so nobody can wait for it")]
    fn tell(order: &str, what: &str) {
        static PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
        let pipe = PIPE.get_or_init(|| {
            let mut shell = Command::new("sh")
                .args(["-c", Self::SCRIPT])
                .stdin(Stdio::piped())
                // Not our own: whoever waits for the end of our output would wait for the shell as well.
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .expect("there is a shell");
            Mutex::new(shell.stdin.take().expect("piped above"))
        });
        let told = writeln!(pipe.lock().unwrap(), "{order} {what}");
        told.expect("the undertaker lives as long as we do");
    }

    const SCRIPT: &str = r#"
        alive=' '
        while read -r order what; do
            case $order in
                kill) alive="$alive$what " ;;
                gone) alive="${alive%% $what *} ${alive#* $what }" ;;
                remove) set -- "$@" "$what" ;;
            esac
        done
        for id in $alive; do kill -9 "$id"; done
        [ $# -eq 0 ] || rm -rf -- "$@"
    "#;
}
