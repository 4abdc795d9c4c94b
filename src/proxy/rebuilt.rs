//! A checked upload on its way to the index.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::{BoxError, Progress};
use crate::upload::RebuiltBody;

/// Reads the rebuilt body piece by piece, off the serving thread: most of it may lie on a disk.
pub(super) struct Rebuilt {
    body: Arc<RebuiltBody>,
    offset: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    progress: Progress,
}

impl Rebuilt {
    const PIECE: usize = 256 * 1024;

    pub(super) const fn new(body: Arc<RebuiltBody>, progress: Progress) -> Self {
        Self { body, offset: 0, reading: None, progress }
    }

    fn left(&self) -> u64 {
        self.body.content_length.saturating_sub(self.offset)
    }
}

impl HttpBody for Rebuilt {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let (body, offset) = (Arc::clone(&self.body), self.offset);
        let reading =
            self.reading.get_or_insert_with(|| spawn_blocking(move || body.read_at(offset, Self::PIECE)));
        let piece = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        self.progress.touch();
        match piece {
            // An empty piece before the end would never become a whole body.
            Ok(Ok(piece)) if piece.is_empty() => {
                Poll::Ready(Some(Err("the spooled upload is too short".into())))
            }
            Ok(Ok(piece)) => {
                self.offset += piece.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Ok(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
