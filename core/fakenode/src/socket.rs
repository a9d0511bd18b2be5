//! One connection over which calls and announcements share the way.

use crate::{
    call::{Call, Request},
    pipe::Pipe,
    subscription::Subscriptions,
    voice::{Reply, Voice},
};
use event::BlockNumHash;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::io;
use tokio::sync::broadcast::{self, error::RecvError};

/// Calls of one connection under way at once; further ones wait in the socket.
const IN_FLIGHT_MAX: usize = 1_000;

/// Serves until one side ends the connection.
pub(crate) async fn serve(
    voice: &Voice,
    mut pipe: Pipe,
    mut heads: broadcast::Receiver<BlockNumHash>,
) -> io::Result<()> {
    let mut subscriptions = Subscriptions::default();
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = pipe.next(), if under_way.len() < IN_FLIGHT_MAX => {
                let Some(message) = message? else { return Ok(()) };
                let world = voice.node.world();
                let about = lone_call(&message);
                match about.and_then(|call| subscriptions.call(&call, world)) {
                    Some(answer) => pipe.send(answer.to_string()).await?,
                    None => under_way.push(async move { voice.reply(&message, true).await }),
                }
            }
            Some(reply) = under_way.next(), if !under_way.is_empty() => match reply {
                Reply::Text { text, .. } | Reply::Garbage(text) => pipe.send(text).await?,
                Reply::Cut(text) => return pipe.send_half(&text).await,
                Reply::HangUp => return Ok(()),
                Reply::Silence => {}
            },
            head = heads.recv() => match head {
                Ok(head) => {
                    for text in subscriptions.notifications(head, voice.node.world()) {
                        pipe.send(text).await?;
                    }
                }
                // Of those that were missed the next one tells.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

fn lone_call(message: &[u8]) -> Option<Call> {
    match Request::parse(message) {
        Ok(Request::One(call)) => Some(call),
        _ => None,
    }
}
