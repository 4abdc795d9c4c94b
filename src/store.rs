//! What must be remembered across requests, restarts and processes: identity tokens that were used, and upload
//! tokens that were given back. One SQLite database; a thread of its own, so that no serving thread waits on a disk.
//! Decisions are kept beside them, for `explain`.

mod decisions;

use std::path::PathBuf;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::decisions::{Decisions, Kept};
use crate::clock::Timestamp;

pub use self::decisions::kept_decision;

/// Where the store keeps its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a file, shared by every process that opens it.
    File(PathBuf),
    /// In memory: forgotten when the process ends.
    Memory,
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    /// None in memory, where no other process could read them.
    decisions: Option<Decisions>,
}

/// The store cannot answer. Whoever asks refuses for now; nothing is allowed because it could not be checked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store is unavailable: {0}")]
pub struct StoreError(String);

enum Job {
    Claim {
        key: [u8; 32],
        until: Timestamp,
        now: Timestamp,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    Revoke {
        token: String,
        until: Timestamp,
        now: Timestamp,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    IsRevoked {
        token: String,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    Use {
        token: String,
        until: Timestamp,
        now: Timestamp,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    Unuse {
        token: String,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

impl Store {
    /// Requests that may wait for the database before callers wait to ask.
    const QUEUE: usize = 1024;

    /// Opens the database, makes its tables if they are not there, and starts its thread.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        let connection = match location {
            Location::File(path) => Connection::open(path),
            Location::Memory => Connection::open_in_memory(),
        };
        let connection = connection.and_then(prepared)?;
        let (jobs, queue) = mpsc::channel(Self::QUEUE);
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work(&connection, queue))
            .map_err(|error| StoreError(error.to_string()))?;
        let decisions = match location {
            Location::File(path) => Some(Decisions::open(path)?),
            Location::Memory => None,
        };
        Ok(Self { jobs, decisions })
    }

    /// Keeps a decision until `until` is over, if that is possible just now. It never waits.
    pub fn keep(&self, reference: &str, body: String, until: Timestamp, now: Timestamp) {
        if let Some(decisions) = &self.decisions {
            decisions.keep(Kept { reference: reference.to_owned(), body, until, now });
        }
    }

    /// Claims `key` for whoever asks first, in any process. The record is kept until `until` is over.
    pub async fn claim_once(
        &self,
        key: [u8; 32],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.ask(|reply| Job::Claim { key, until, now, reply }).await
    }

    /// Remembers until `until` that an upload token was given back.
    pub async fn revoke(&self, token: &str, until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.ask(|reply| Job::Revoke { token: token.to_owned(), until, now, reply }).await
    }

    /// Whether an upload token was given back.
    pub async fn is_revoked(&self, token: &str) -> Result<bool, StoreError> {
        self.ask(|reply| Job::IsRevoked { token: token.to_owned(), reply }).await
    }

    /// Uses up an upload token that is good for one upload: of all who ask, in any process, one hears `true`.
    pub async fn use_once(&self, token: &str, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        self.ask(|reply| Job::Use { token: token.to_owned(), until, now, reply }).await
    }

    /// Takes back [`Store::use_once`], for whoever heard `true`: there was no upload.
    pub async fn unuse(&self, token: &str) -> Result<(), StoreError> {
        self.ask(|reply| Job::Unuse { token: token.to_owned(), reply }).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let ended = || StoreError("its thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// Write-ahead logging with full synchronisation: a claim that was answered survives `kill -9` and a power cut, and
/// two processes on one file wait for each other instead of failing.
fn prepared(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS used_identity (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS revoked_token (token TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS used_token (token TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;",
    )?;
    Ok(connection)
}

fn work(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut last_purge = Timestamp(0);
    // Who asked may have gone meanwhile; then nobody reads the reply.
    while let Some(job) = queue.blocking_recv() {
        match job {
            // Who has gone meanwhile gets no token for it, and may ask again.
            Job::Claim { reply, .. } if reply.is_closed() => {}
            Job::Claim { key, until, now, reply } => {
                purge(connection, &mut last_purge, now);
                let claimed = claim(connection, &key, until).map_err(StoreError::from);
                if let Err(Ok(true)) = reply.send(claimed)
                    && let Err(error) = unclaim(connection, &key)
                {
                    tracing::warn!(%error, "cannot take back a claim");
                }
            }
            Job::Revoke { token, until, now, reply } => {
                purge(connection, &mut last_purge, now);
                _ = reply.send(revoke(connection, &token, until).map_err(StoreError::from));
            }
            Job::IsRevoked { token, reply } => {
                _ = reply.send(is_revoked(connection, &token).map_err(StoreError::from))
            }
            Job::Use { token, until, now, reply } => {
                purge(connection, &mut last_purge, now);
                _ = reply.send(use_once(connection, &token, until).map_err(StoreError::from));
            }
            Job::Unuse { token, reply } => {
                _ = reply.send(unuse(connection, &token).map_err(StoreError::from));
            }
        }
    }
}

fn claim(connection: &Connection, key: &[u8], until: Timestamp) -> rusqlite::Result<bool> {
    // The primary key decides the race, between threads and between processes.
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO used_identity (key, until) VALUES (?1, ?2)")?;
    Ok(insert.execute((key, until.0))? == 1)
}

fn unclaim(connection: &Connection, key: &[u8]) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM used_identity WHERE key = ?1")?.execute([key]).map(|_| ())
}

fn revoke(connection: &Connection, token: &str, until: Timestamp) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO revoked_token (token, until) VALUES (?1, ?2)")?;
    insert.execute((token, until.0)).map(|_| ())
}

fn is_revoked(connection: &Connection, token: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM revoked_token WHERE token = ?1")?.exists([token])
}

fn use_once(connection: &Connection, token: &str, until: Timestamp) -> rusqlite::Result<bool> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO used_token (token, until) VALUES (?1, ?2)")?;
    Ok(insert.execute((token, until.0))? == 1)
}

fn unuse(connection: &Connection, token: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM used_token WHERE token = ?1")?.execute([token]).map(|_| ())
}

/// Forgets what no longer matters, at most once a minute. Records are never dropped before their time.
fn purge(connection: &Connection, last: &mut Timestamp, now: Timestamp) {
    if now.seconds_since(*last).abs() < 60 {
        return;
    }
    *last = now;
    for table in ["used_identity", "revoked_token", "used_token"] {
        if let Err(error) = connection.execute(&format!("DELETE FROM {table} WHERE until < ?1"), [now.0]) {
            tracing::warn!(%error, table, "cannot remove old records from the store");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_000);
    const LATER: Timestamp = Timestamp(NOW.0 + 300);

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn a_key_is_claimed_once() {
        run(async {
            let store = Store::open(&Location::Memory).unwrap();
            assert!(store.claim_once([1; 32], LATER, NOW).await.unwrap());
            assert!(!store.claim_once([1; 32], LATER, NOW).await.unwrap());
            assert!(store.claim_once([2; 32], LATER, NOW).await.unwrap());
        });
    }

    #[test]
    fn a_claim_survives_the_process_and_holds_between_processes() {
        let folder = tempfile::tempdir().unwrap();
        let file = Location::File(folder.path().join("store.db"));
        run(async {
            let (one, two) = (Store::open(&file).unwrap(), Store::open(&file).unwrap());
            assert!(one.claim_once([1; 32], LATER, NOW).await.unwrap());
            assert!(!two.claim_once([1; 32], LATER, NOW).await.unwrap());
            drop((one, two));
            assert!(!Store::open(&file).unwrap().claim_once([1; 32], LATER, NOW).await.unwrap());
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Each thread claims its own list of keys, so that some meet and some do not.
        #[test]
        fn of_many_threads_on_two_connections_one_wins_each_key(
            claims in prop::collection::vec(prop::collection::vec(0..6_u8, 1..12), 2..9),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let file = Location::File(folder.path().join("store.db"));
            let stores = [Store::open(&file).unwrap(), Store::open(&file).unwrap()];
            let mut won: Vec<u8> = thread::scope(|scope| {
                let racers: Vec<_> = claims
                    .iter()
                    .zip(stores.iter().cycle())
                    .map(|(keys, store)| {
                        scope.spawn(move || {
                            let wins = |key: &u8| run(store.claim_once([*key; 32], LATER, NOW)).unwrap();
                            keys.iter().copied().filter(wins).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect()
            });
            won.sort_unstable();
            let asked: BTreeSet<u8> = claims.iter().flatten().copied().collect();
            prop_assert_eq!(won, asked.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_claim_that_nobody_hears_of_is_none() {
        run(async {
            let store = Store::open(&Location::Memory).unwrap();
            let (reply, gone) = oneshot::channel();
            drop(gone);
            store.jobs.send(Job::Claim { key: [1; 32], until: LATER, now: NOW, reply }).await.unwrap();
            assert!(store.claim_once([1; 32], LATER, NOW).await.unwrap());
        });
    }

    #[test]
    fn a_record_is_kept_until_its_time_and_then_forgotten() {
        run(async {
            let store = Store::open(&Location::Memory).unwrap();
            store.claim_once([1; 32], LATER, NOW).await.unwrap();
            store.claim_once([2; 32], LATER, LATER).await.unwrap();
            assert!(!store.claim_once([1; 32], LATER, LATER).await.unwrap(), "its last second counts");
            let after = Timestamp(LATER.0 + 61);
            store.claim_once([3; 32], Timestamp(after.0 + 300), after).await.unwrap();
            assert!(store.claim_once([1; 32], LATER, after).await.unwrap());
        });
    }

    #[test]
    fn a_token_that_was_given_back_stays_revoked() {
        run(async {
            let store = Store::open(&Location::Memory).unwrap();
            assert!(!store.is_revoked("a").await.unwrap());
            store.revoke("a", LATER, NOW).await.unwrap();
            store.revoke("a", LATER, NOW).await.unwrap();
            assert!(store.is_revoked("a").await.unwrap());
            assert!(!store.is_revoked("b").await.unwrap());
        });
    }

    #[test]
    fn a_token_is_used_once_unless_the_use_is_taken_back() {
        run(async {
            let store = Store::open(&Location::Memory).unwrap();
            assert!(store.use_once("a", LATER, NOW).await.unwrap());
            assert!(!store.use_once("a", LATER, NOW).await.unwrap());
            assert!(store.use_once("b", LATER, NOW).await.unwrap());
            store.revoke("a", LATER, NOW).await.unwrap();
            store.unuse("a").await.unwrap();
            assert!(store.use_once("a", LATER, NOW).await.unwrap());
            assert!(store.is_revoked("a").await.unwrap(), "what was given back stays so");
            assert!(!store.use_once("b", LATER, NOW).await.unwrap());
        });
    }

    #[test]
    fn of_many_uploads_at_once_one_uses_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = Location::File(folder.path().join("store.db"));
        let stores = [Store::open(&file).unwrap(), Store::open(&file).unwrap()];
        let wins: usize = thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    let store = stores[n % 2].clone();
                    scope.spawn(move || run(store.use_once("a", LATER, NOW)).unwrap())
                })
                .collect();
            racers.into_iter().map(|racer| usize::from(racer.join().unwrap())).sum()
        });
        assert_eq!(wins, 1);
    }

    #[test]
    fn a_database_that_cannot_be_opened_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Store::open(&Location::File(folder.path().join("missing/store.db"))).is_err());
    }
}
