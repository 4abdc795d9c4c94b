//! The configuration in force. A reload swaps one pointer; each serving thread takes the new one up with its next
//! request, and a request that has begun keeps the one it began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Gateway, MintRate, Setup};
use crate::clock::Clock;
use crate::observe::audit::Audit;
use crate::store::Store;

/// The gateway of one serving thread, always in the configuration of the moment.
#[derive(Debug)]
pub struct Live {
    setups: RefCell<watch::Receiver<Arc<Setup>>>,
    present: RefCell<Rc<Gateway>>,
}

impl Live {
    /// Begins with the present one of these setups. The rest is shared with the other threads and outlives every reload.
    pub fn new(
        mut setups: watch::Receiver<Arc<Setup>>,
        store: Store,
        audit: Audit,
        rate: MintRate,
        clock: Clock,
    ) -> Self {
        let setup = Arc::clone(&setups.borrow_and_update());
        let present = Rc::new(Gateway::new(setup, store, audit, rate, clock));
        Self { setups: RefCell::new(setups), present: RefCell::new(present) }
    }

    /// The gateway for one request, or one handshake: one configuration, from beginning to end.
    pub fn present(&self) -> Rc<Gateway> {
        let mut setups = self.setups.borrow_mut();
        // A look at an atomic number; the lock is taken once for each reload.
        if setups.has_changed().unwrap_or(false) {
            let setup = Arc::clone(&setups.borrow_and_update());
            let renewed = self.present.borrow().renewed(setup);
            self.present.replace(Rc::new(renewed));
        }
        Rc::clone(&self.present.borrow())
    }

    /// Takes up each new configuration without waiting for a request, so that no quiet thread holds on to an old one, its
    /// secrets and its issuers.
    pub async fn follow(&self) {
        let mut setups = self.setups.borrow().clone();
        while setups.changed().await.is_ok() {
            self.present();
        }
    }
}
