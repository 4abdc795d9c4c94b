//! The serving threads.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::listen::{accept, bind};
use crate::clock::Clock;
use crate::gateway::{Live, MintRate, Setup};
use crate::observe::audit::Audit;
use crate::store::Store;

/// What all serving threads have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The configuration, and each that follows.
    pub setups: watch::Receiver<Arc<Setup>>,
    /// The store.
    pub store: Store,
    /// The audit.
    pub audit: Audit,
    /// The count of exchanges.
    pub rate: MintRate,
    /// The time.
    pub clock: Clock,
}

/// Bound sockets, not serving yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    address: SocketAddr,
}

/// Serving threads. Dropping the sender stops them.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// Binds one socket for each thread, all to one address. Port 0 takes a free one.
    pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Self> {
        let first = bind(address)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..threads.max(1) {
            listeners.push(bind(address)?);
        }
        Ok(Self { listeners, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the threads.
    pub fn serve(self, shared: &Shared) -> io::Result<Serving> {
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        for (n, listener) in self.listeners.into_iter().enumerate() {
            let (shared, stopped, alive) = (shared.clone(), stopped.clone(), alive.clone());
            thread::Builder::new().name(format!("serve-{n}")).spawn(move || {
                if let Err(error) = serve_on_this_thread(listener, shared, stopped) {
                    tracing::error!(%error, "a serving thread ended");
                }
                drop(alive);
            })?;
        }
        Ok(Serving { stop, ended })
    }
}

impl Serving {
    /// Accepts no more, and waits until every request under way is answered.
    pub async fn finish(mut self) {
        self.stop.send_replace(true);
        // Nothing is ever sent: the channel closes with the last thread.
        self.ended.recv().await;
    }

    /// Waits until all threads have ended, which they should not.
    pub async fn ended(&mut self) {
        self.ended.recv().await;
    }
}

fn serve_on_this_thread(
    listener: std::net::TcpListener,
    shared: Shared,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let Shared { setups, store, audit, rate, clock } = shared;
    let live = Rc::new(Live::new(setups, store, audit, rate, clock));
    let threads_work = LocalSet::new();
    let follower = Rc::clone(&live);
    threads_work.spawn_local(async move { follower.follow().await });
    threads_work.block_on(&runtime, accept(listener, live, stop))
}
