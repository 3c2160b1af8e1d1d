//! The connection of a client, which is given up where nothing can be written to it for too long, and
//! how many of them there may be.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How many may be open at a time where the system sets no bound.
const MOST: usize = 65_536;

/// How many connections of clients may be open at a time: half of the files that this process may have
/// open, since each call takes a connection to a provider as well.
pub fn most() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};

        let files = getrlimit(Resource::Nofile).current;
        let half = files.and_then(|files| usize::try_from(files / 2).ok());
        half.unwrap_or(MOST).clamp(1, MOST)
    }
    #[cfg(not(unix))]
    MOST
}

/// A connection whose other end has so long to take some of what is written to it. A client that reads
/// nothing would else hold its call, and that its connection to a provider, without end.
pub struct Patient<T> {
    inner: T,
    patience: Duration,
    /// Runs while nothing can be written.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<T> Patient<T> {
    /// `inner`, where each write may take this long.
    pub fn new(inner: T, patience: Duration) -> Self {
        Self {
            inner,
            patience,
            waits: None,
        }
    }

    fn bounded<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        context: &mut Context,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let patience = self.patience;
        let start = || Box::pin(tokio::time::sleep(patience));
        let waits = self.waits.get_or_insert_with(start).as_mut();
        waits
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        into: &mut ReadBuf,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        bytes: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    // A connection over TCP has nothing to flush, which says nothing of its other end.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn only_who_reads_nothing_at_all_is_given_up() {
        let (here, mut there) = tokio::io::duplex(4);
        let mut here = Patient::new(here, Duration::from_secs(3_600));
        here.write_all(b"1234").await.unwrap();
        assert!(here.waits.is_none());
        let mut fifth = Box::pin(here.write_all(b"5"));
        assert!(futures_util::poll!(fifth.as_mut()).is_pending());
        there.read_u8().await.unwrap();
        fifth.await.unwrap();
        // Whatever is taken, the time begins anew.
        assert!(here.waits.is_none());
        here.patience = Duration::from_millis(10);
        let error = here.write_all(b"6").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
