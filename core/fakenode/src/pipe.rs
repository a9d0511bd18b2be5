//! A connection of whole messages: WebSocket, or JSON values over a Unix socket.

use crate::http::REQUEST_BYTES_MAX;
use futures_util::{SinkExt, StreamExt};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// One connection.
pub(crate) enum Pipe {
    Web(Box<WebSocketStream<TcpStream>>),
    Ipc { stream: UnixStream, received: Vec<u8> },
}

impl Pipe {
    /// Shakes hands.
    pub(crate) async fn web(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().max_message_size(Some(REQUEST_BYTES_MAX));
        let socket = accept_async_with_config(stream, Some(config)).await;
        Ok(Self::Web(Box::new(socket.map_err(io::Error::other)?)))
    }

    pub(crate) const fn ipc(stream: UnixStream) -> Self {
        Self::Ipc { stream, received: Vec::new() }
    }

    /// Returns the next message; `None` at the end. Nothing is lost when it is dropped before.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Web(socket) => loop {
                match socket.next().await.transpose().map_err(io::Error::other)? {
                    Some(Message::Text(text)) => return Ok(Some(text.as_bytes().to_vec())),
                    Some(Message::Binary(bytes)) => return Ok(Some(bytes.to_vec())),
                    Some(Message::Close(_)) | None => return Ok(None),
                    Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                }
            },
            Self::Ipc { stream, received } => loop {
                if let Some(message) = take_value(received)? {
                    return Ok(Some(message));
                }
                if received.len() > REQUEST_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if stream.read_buf(received).await? == 0 {
                    return Ok(None);
                }
            },
        }
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, text: String) -> io::Result<()> {
        match self {
            Self::Web(socket) => {
                socket.send(Message::Text(text.into())).await.map_err(io::Error::other)
            }
            Self::Ipc { stream, .. } => {
                stream.write_all(text.as_bytes()).await?;
                stream.write_all(b"\n").await
            }
        }
    }

    /// Sends as much of a message as can be sent of one; the caller ends the connection.
    pub(crate) async fn send_half(&mut self, text: &str) -> io::Result<()> {
        match self {
            // A frame is sent whole or not at all.
            Self::Web(_) => Ok(()),
            Self::Ipc { stream, .. } => stream.write_all(&text.as_bytes()[..text.len() / 2]).await,
        }
    }
}

/// Takes the first whole JSON value off the bytes.
fn take_value(received: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut values =
        serde_json::Deserializer::from_slice(received).into_iter::<serde::de::IgnoredAny>();
    match values.next() {
        None => {
            received.clear();
            Ok(None)
        }
        Some(Ok(_)) => {
            let end = values.byte_offset();
            Ok(Some(received.drain(..end).collect()))
        }
        Some(Err(error)) if error.is_eof() => Ok(None),
        Some(Err(error)) => Err(io::Error::other(error)),
    }
}
