//! Connections over a Unix socket: JSON values one after the other, as geth, reth and anvil do it.

use super::{
    pipe::{Break, Pipe},
    splitter::Splitter,
};
use crate::origin::chain_of;
use event::FaultClass;
use futures_util::ready;
use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

/// Read at a time.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Connects; the caller sets the deadline.
pub(super) async fn dial(path: &Path, max_body_bytes: u64) -> Result<Box<dyn Pipe>, Break> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| Break::new(FaultClass::Unreachable, chain_of(&error)))?;
    Ok(Box::new(IpcPipe {
        stream,
        outgoing: Vec::new(),
        sent: 0,
        splitter: Splitter::new(max_body_bytes),
        piece: vec![0; READ_BUFFER_BYTES],
    }))
}

struct IpcPipe {
    stream: UnixStream,
    /// Bounded by the calls in flight.
    outgoing: Vec<u8>,
    /// Bytes of it that are gone.
    sent: usize,
    splitter: Splitter,
    piece: Vec<u8>,
}

impl IpcPipe {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let rest = &self.outgoing[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.sent += bytes,
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl Pipe for IpcPipe {
    fn send(&mut self, message: String) -> Result<(), Break> {
        self.outgoing.extend_from_slice(message.as_bytes());
        self.outgoing.push(b'\n');
        Ok(())
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Break>> {
        let dropped = |error: io::Error| Break::new(FaultClass::Dropped, chain_of(&error));
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(dropped(error)));
        }
        loop {
            if let Some(message) = self.splitter.next()? {
                return Poll::Ready(Ok(message));
            }
            let mut piece = ReadBuf::new(&mut self.piece);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece)).map_err(dropped)?;
            if piece.filled().is_empty() {
                let text = match self.splitter.is_in_the_middle() {
                    true => "the connection was closed in the middle of an answer",
                    false => "the connection was closed",
                };
                return Poll::Ready(Err(Break::new(FaultClass::Dropped, text)));
            }
            self.splitter.push(piece.filled());
        }
    }
}
