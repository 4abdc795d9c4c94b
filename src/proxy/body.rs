//! Bodies: what flows through the gateway, and the watch that notices when it stops flowing.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of everything the gateway sends, in both directions. It stays on its thread.
pub struct Body(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError>>>);

impl Body {
    /// Hides which body it is.
    pub fn new(body: impl HttpBody<Data = Bytes, Error = BoxError> + 'static) -> Self {
        Self(Box::pin(body))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A body of these bytes.
pub fn whole(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes).map_err(|never| match never {}))
}

/// No body.
pub fn empty() -> Body {
    Body::new(Empty::new().map_err(|never| match never {}))
}

/// When something last moved.
#[derive(Clone, Debug)]
pub struct Progress(Rc<Cell<Instant>>);

/// Nothing moved for as long as was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing came for too long")]
pub struct Stalled;

impl Progress {
    /// Starts now.
    pub fn start() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }

    /// Something moved.
    pub fn touch(&self) {
        self.0.set(Instant::now());
    }

    /// Waits for `work` as long as something moves at least every `limit`.
    pub async fn watch<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Stalled> {
        let mut work = pin!(work);
        loop {
            let deadline = self.0.get() + limit;
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep_until(deadline), if deadline > Instant::now() => {}
                () = std::future::ready(()), if deadline <= Instant::now() => return Err(Stalled),
            }
        }
    }
}

/// How long somebody has been waiting for the next bytes of an answer. Time in which nobody waits does not count: a
/// client may read as slowly as it likes.
pub(super) struct Silence {
    limit: Duration,
    since: Option<Instant>,
    /// Set once and seldom moved, because arming a timer for every read would cost more than the read.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, since: None, alarm: None }
    }

    /// Something came.
    pub(super) const fn end(&mut self) {
        self.since = None;
    }

    /// Nothing has come yet. Ready when that lasted too long.
    pub(super) fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(Stalled);
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

/// The body of a client's request, less its trailers: they would travel past every check of the header fields.
///
/// When it is dropped before its end, the rest is still read and thrown away, for a while, so that the client gets to
/// read its answer and the connection ends in peace: a reset makes twine send the upload again, five times. What is
/// refused for its size is read as well; it costs less than the same bytes five times.
pub struct Arriving {
    body: Option<Incoming>,
    /// What was looked at ahead; it comes first.
    ahead: Bytes,
    progress: Progress,
    /// The client waits for `100 Continue`, which reading the body would send.
    waits: bool,
}

impl Arriving {
    /// For how long the rest of a refused upload is read.
    const DRAIN_TIME: Duration = Duration::from_secs(60);

    /// `expects_continue` is whether the client sends the body only after it has been told to.
    pub fn new(body: Incoming, expects_continue: bool) -> Self {
        Self { body: Some(body), ahead: Bytes::new(), progress: Progress::start(), waits: expects_continue }
    }

    /// Tells when something last arrived.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// The first bytes, which stay in the body; fewer than `length` only if there are no more.
    pub async fn peek(&mut self, length: usize) -> Result<&Bytes, BoxError> {
        let mut start = Vec::new();
        while start.len() < length {
            match self.next().await {
                Some(data) => start.extend_from_slice(&data?),
                None => break,
            }
        }
        self.ahead = start.into();
        Ok(&self.ahead)
    }

    /// All bytes, which stay in the body; `None` if there are more than `limit`.
    pub async fn peek_all(&mut self, limit: usize) -> Result<Option<Bytes>, BoxError> {
        let all = self.all(limit).await?;
        if let Some(all) = &all {
            self.ahead = all.clone();
        }
        Ok(all)
    }

    /// All bytes of a body that ought to be small; `None` if it is larger than `limit`.
    pub async fn all(&mut self, limit: usize) -> Result<Option<Bytes>, BoxError> {
        let mut collected = Vec::new();
        while let Some(data) = self.next().await {
            let data = data?;
            if collected.len() + data.len() > limit {
                return Ok(None);
            }
            collected.extend_from_slice(&data);
        }
        Ok(Some(collected.into()))
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.waits = false;
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.ahead)))));
        }
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(Ok(frame)) => {
                    self.progress.touch();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.len() as u64;
        let rest = self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream() && !self.waits) else { return };
        // Outside a runtime the gateway is ending, and the connection with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(Self::DRAIN_TIME, drain(body)));
        }
    }
}

async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_may_last_as_long_as_something_moves() {
        let progress = Progress::start();
        let moving = progress.clone();
        let work = async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                moving.touch();
            }
        };
        assert_eq!(progress.watch(Duration::from_secs(10), work).await, Ok(()));
        let stuck = std::future::pending::<()>();
        assert_eq!(progress.watch(Duration::from_secs(10), stuck).await, Err(Stalled));
    }
}
