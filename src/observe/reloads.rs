//! How reloads went, in numbers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;

/// Counts since the start. Shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Reloads {
    taken: AtomicU64,
    refused: AtomicU64,
    refused_since_taken: AtomicU64,
    last_taken: AtomicI64,
}

impl Reloads {
    /// A new configuration came into force.
    pub fn took(&self, now: Timestamp) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.refused_since_taken.store(0, Ordering::Relaxed);
        self.last_taken.store(now.0, Ordering::Relaxed);
    }

    /// A new configuration was refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.refused_since_taken.fetch_add(1, Ordering::Relaxed);
    }

    /// How many came into force.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether the files say something else than what is in force: the latest reload was refused.
    pub fn is_behind(&self) -> bool {
        self.refused_since_taken.load(Ordering::Relaxed) > 0
    }

    /// When the latest one came into force; the epoch if there was none.
    pub fn last_taken(&self) -> Timestamp {
        Timestamp(self.last_taken.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reload_leaves_the_gateway_behind_until_one_is_taken() {
        let reloads = Reloads::default();
        reloads.took(Timestamp(7));
        assert!(!reloads.is_behind());
        reloads.refuse();
        reloads.refuse();
        assert!(reloads.is_behind());
        reloads.took(Timestamp(9));
        assert!(!reloads.is_behind());
        assert_eq!((reloads.taken(), reloads.refused(), reloads.last_taken()), (2, 2, Timestamp(9)));
    }
}
