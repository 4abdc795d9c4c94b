//! Decisions, kept for a while so that a refusal can be explained later, by any process. The audit is what counts;
//! this is a convenience: keeping a decision never makes a request wait, and never makes it fail.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::mpsc;

use super::StoreError;
use crate::clock::Timestamp;

/// Where decisions are put. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Decisions {
    queue: mpsc::Sender<Kept>,
}

/// One decision.
#[derive(Debug)]
pub(super) struct Kept {
    pub reference: String,
    pub body: String,
    pub until: Timestamp,
    pub now: Timestamp,
}

impl Decisions {
    /// Decisions that may wait to be written; more are dropped.
    const QUEUE: usize = 4096;
    /// Written in one transaction at most.
    const BATCH: usize = 256;
    /// Kept at most, so that refusals cannot fill a disk; the oldest go first.
    const MOST: i64 = 1_000_000;

    /// A connection and a thread of its own: whoever claims an identity token does not wait behind this.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // The last seconds may be lost in a power cut.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS decision (id INTEGER PRIMARY KEY, reference TEXT NOT NULL UNIQUE, body TEXT NOT NULL, until INTEGER NOT NULL);
             CREATE INDEX IF NOT EXISTS decision_until ON decision (until);",
        )?;
        let (queue, jobs) = mpsc::channel(Self::QUEUE);
        thread::Builder::new()
            .name("decisions".to_owned())
            .spawn(move || work(connection, jobs))
            .map_err(|error| StoreError(error.to_string()))?;
        Ok(Self { queue })
    }

    /// Keeps a decision if there is room for it.
    pub(super) fn keep(&self, decision: Kept) {
        if let Err(error) = self.queue.try_send(decision) {
            tracing::warn!(%error, "a decision is not kept for `explain`; the audit has it");
        }
    }
}

fn work(mut connection: Connection, mut jobs: mpsc::Receiver<Kept>) {
    let mut last_purge = Timestamp(0);
    let mut batch = Vec::with_capacity(Decisions::BATCH);
    while jobs.blocking_recv_many(&mut batch, Decisions::BATCH) > 0 {
        let now = batch.last().map_or(last_purge, |kept| kept.now);
        if let Err(error) = write(&mut connection, &batch) {
            tracing::warn!(%error, "decisions cannot be kept for `explain`; the audit has them");
        }
        batch.clear();
        if now.seconds_since(last_purge).abs() >= 60 {
            last_purge = now;
            if let Err(error) = purge(&connection, now) {
                tracing::warn!(%error, "cannot remove old decisions from the store");
            }
        }
    }
}

fn write(connection: &mut Connection, batch: &[Kept]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction
            .prepare_cached("INSERT OR REPLACE INTO decision (reference, body, until) VALUES (?1, ?2, ?3)")?;
        for Kept { reference, body, until, .. } in batch {
            insert.execute((reference, body, until.0))?;
        }
    }
    transaction.commit()
}

fn purge(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM decision WHERE until < ?1", [now.0])?;
    connection
        .execute("DELETE FROM decision WHERE id <= (SELECT max(id) FROM decision) - ?1", [Decisions::MOST])?;
    Ok(())
}

/// What was kept under a reference. Reads next to whoever writes, and changes nothing.
pub fn kept_decision(path: &Path, reference: &str) -> Result<Option<String>, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    let body = connection
        .query_row("SELECT body FROM decision WHERE reference = ?1", [reference], |row| row.get(0))
        .optional()?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600);

    fn kept(reference: &str, until: i64, now: Timestamp) -> Kept {
        Kept {
            reference: reference.to_owned(),
            body: format!("{{\"r\":\"{reference}\"}}"),
            until: Timestamp(until),
            now,
        }
    }

    /// The writer is another thread.
    #[track_caller]
    fn soon(done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(5), "it takes too long");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_decision_is_found_by_its_reference_until_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let decisions = Decisions::open(&path).unwrap();
        decisions.keep(kept("short", NOW.0 + 10, NOW));
        decisions.keep(kept("long", NOW.0 + 1000, NOW));
        soon(|| kept_decision(&path, "long").unwrap().is_some());
        assert_eq!(kept_decision(&path, "short").unwrap().unwrap(), "{\"r\":\"short\"}");
        assert_eq!(kept_decision(&path, "other").unwrap(), None);
        decisions.keep(kept("next", NOW.0 + 1000, Timestamp(NOW.0 + 100)));
        soon(|| kept_decision(&path, "short").unwrap().is_none());
        assert!(kept_decision(&path, "long").unwrap().is_some());
    }

    #[test]
    fn keeping_never_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let decisions = Decisions::open(&path).unwrap();
        let locked = Connection::open(&path).unwrap();
        locked.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = Instant::now();
        for n in 0..2 * Decisions::QUEUE {
            decisions.keep(kept(&n.to_string(), NOW.0 + 10, NOW));
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_store_that_is_not_there_is_not_made_by_asking() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        assert!(kept_decision(&path, "x").is_err());
        assert!(!path.exists());
    }
}
