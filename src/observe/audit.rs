//! The audit: one JSON line for each token minted, each upload and each refusal, from which the origin of every file
//! can be told. A thread of its own writes it, and who records a line learns whether it was written.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::names::{IndexName, IssuerName, ProjectName, PublisherName};

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, appended to; made with mode 0600.
    File(PathBuf),
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An exchange of an identity token.
    Mint,
    /// A question what an exchange would give.
    Check,
    /// An upload, guarded or relayed.
    Upload,
    /// Any other request that was refused.
    Request,
    /// An upload token was given back.
    Burn,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Allowed, and done.
    Allow,
    /// Refused here.
    Refuse,
    /// Allowed, but the index did not take it.
    Fail,
    /// Passed on with the caller's own credential.
    Relay,
}

/// One line. What does not apply is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When, in UTC.
    pub time: String,
    /// What the caller was told to quote.
    pub reference: String,
    /// What it is about.
    pub event: Event,
    /// How it ended.
    pub decision: Outcome,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Why it was refused or failed, as the log would say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The publisher that allowed it; for an exchange, all that did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publisher: Vec<PublisherName>,
    /// Publishers in observe mode that would have allowed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<PublisherName>,
    /// What an administrator should look at, although it was allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The configuration that decided.
    pub config: String,
    /// Who vouched for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// What it said: repository, ref, commit, run, …
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// What the rules read out of the claims. Not written: `claims` has it in the issuer's own words.
    #[serde(skip)]
    pub facts: BTreeMap<String, String>,
    /// The index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexName>,
    /// The project, normalised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Its SHA-256, in hex, as computed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The upload token's id. The token itself is never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The client's address.
    pub client: IpAddr,
    /// From the head of the request to its answer.
    pub duration_ms: u64,
}

impl Record {
    /// A line about nothing yet.
    pub fn begin(event: Event, reference: String, client: IpAddr, config: String, now: Timestamp) -> Self {
        Self {
            time: now.to_string(),
            reference,
            event,
            decision: Outcome::Refuse,
            status: 0,
            reason: None,
            publisher: Vec::new(),
            observed: Vec::new(),
            warning: None,
            config,
            issuer: None,
            claims: Map::new(),
            facts: BTreeMap::new(),
            index: None,
            project: None,
            version: None,
            file_name: None,
            sha256: None,
            token_id: None,
            client,
            duration_ms: 0,
        }
    }
}

/// What is kept of a decision: the line, and what the rules looked at. Enough to decide again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptDecision {
    /// When, in UTC.
    pub time: String,
    /// What it is about.
    pub event: Event,
    /// How it ended.
    pub decision: Outcome,
    /// Why it was refused or failed.
    pub reason: Option<String>,
    /// The configuration that decided.
    pub config: String,
    /// Who vouched for the caller, if anybody did.
    pub issuer: Option<IssuerName>,
    /// What the rules read out of the claims.
    pub facts: BTreeMap<String, String>,
    /// The claims that rules may look at.
    pub claims: Map<String, Value>,
    /// The index.
    pub index: Option<IndexName>,
    /// The project.
    pub project: Option<ProjectName>,
    /// The version.
    pub version: Option<String>,
}

impl From<&Record> for KeptDecision {
    fn from(record: &Record) -> Self {
        Self {
            time: record.time.clone(),
            event: record.event,
            decision: record.decision,
            reason: record.reason.clone(),
            config: record.config.clone(),
            issuer: record.issuer.clone(),
            facts: record.facts.clone(),
            claims: record.claims.clone(),
            index: record.index.clone(),
            project: record.project.clone(),
            version: record.version.clone(),
        }
    }
}

/// The audit. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: mpsc::Sender<Line>,
    /// Whether the last line was written in time.
    writing: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Line {
    text: String,
    written: oneshot::Sender<bool>,
}

/// The line was not written, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit line could not be written")]
pub struct NotWritten;

impl Audit {
    /// Lines that may wait for the disk.
    const QUEUE: usize = 4096;
    /// How long a request waits for its line.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Opens the destination and starts the thread.
    pub fn open(destination: &Destination) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = match destination {
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).mode(0o600).open(path)?)
            }
        };
        let (lines, queue) = mpsc::channel(Self::QUEUE);
        let audit = Self { lines, writing: Arc::new(AtomicBool::new(true)) };
        let writing = Arc::clone(&audit.writing);
        thread::Builder::new().name("audit".to_owned()).spawn(move || write(output, queue, &writing))?;
        Ok(audit)
    }

    /// Whether lines are being written. While they are not, nothing is allowed that only they would tell of.
    pub fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Writes a line and waits until it is out of this process; not long, and not at all while nothing is written.
    pub async fn record(&self, record: &Record) -> Result<(), NotWritten> {
        let mut text = serde_json::to_string(record).map_err(|_| NotWritten)?;
        text.push('\n');
        let (written, answer) = oneshot::channel();
        let line = Line { text: text.clone(), written };
        if self.is_writing() {
            let sent = async { self.lines.send(line).await.is_ok() && answer.await == Ok(true) };
            if timeout(Self::PATIENCE, sent).await == Ok(true) {
                return Ok(());
            }
            self.writing.store(false, Ordering::Relaxed);
        } else {
            _ = self.lines.try_send(line);
        }
        // It may still be written, if writing becomes possible again; the log has it in any case.
        tracing::error!(line = text.trim_end(), "an audit line waits");
        Err(NotWritten)
    }
}

fn write(mut output: Box<dyn Write + Send>, mut queue: mpsc::Receiver<Line>, writing: &AtomicBool) {
    while let Some(Line { mut text, written }) = queue.blocking_recv() {
        if !writing.load(Ordering::Relaxed) {
            // Half of an earlier line may stand there.
            text.insert(0, '\n');
        }
        let done = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        if let Err(error) = &done {
            tracing::error!(%error, line = text.trim(), "cannot write the audit line");
        }
        writing.store(done.is_ok(), Ordering::Relaxed);
        // Who recorded the line may have gone meanwhile.
        _ = written.send(done.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    fn record() -> Record {
        let client = "192.0.2.1".parse().unwrap();
        let mut record = Record::begin(
            Event::Upload,
            "r3f".to_owned(),
            client,
            "c0nf".to_owned(),
            Timestamp(1_767_225_600),
        );
        record.file_name = Some("a\r\n\u{1b}[2J".to_owned());
        record
    }

    #[test]
    fn a_line_is_one_line_whatever_stands_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&Destination::File(path.clone())).unwrap();
        run(audit.record(&record())).unwrap();
        run(audit.record(&record())).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "2026-01-01T00:00:00Z");
        assert_eq!(lines[0]["decision"], "refuse");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_noticed() {
        let audit = Audit::open(&Destination::File("/dev/full".into())).unwrap();
        assert!(audit.is_writing());
        assert_eq!(run(audit.record(&record())), Err(NotWritten));
        assert!(!audit.is_writing());
    }

    #[test]
    fn who_reads_the_lines_and_stops_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        // Open for both, so that opening it waits for nobody, and read by none until the end.
        let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let audit = Audit::open(&Destination::File(pipe)).unwrap();
        let begun = std::time::Instant::now();
        run(async { while audit.record(&record()).await.is_ok() {} });
        assert!(!audit.is_writing());
        for _ in 0..100 {
            assert_eq!(run(audit.record(&record())), Err(NotWritten));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let mut buffer = vec![0; 1 << 20];
        while !audit.is_writing() {
            assert!(io::Read::read(&mut reader, &mut buffer).unwrap() > 0);
        }
    }
}
