//! Floor 1: how processes that share a ledger speak with the one that owns it.
//!
//! The owner listens on a Unix socket beside the ledger ([`Server`]); every other process is its
//! client ([`Client`]): it hands over reports, which carry raw evidence and no verdict, and asks what
//! the ledger says. This crate moves words and bounds what each side can make the other hold. It
//! opens no ledger, takes no lock, and decides nothing about a report but whether it is whole.

#![cfg(unix)]

mod client;
mod frame;
mod hello;
mod place;
mod server;
mod sound;
mod split;
mod words;

pub use client::{Answer, AskError, Client, ConnectError, Rows};
pub use frame::{FRAME_BYTES_MAX, FrameError};
pub use hello::{Hello, PROTOCOL, Role};
pub use place::socket_places;
pub use server::{CLIENTS_MAX, Desk, DeskAnswer, More, REQUESTS_WAITING_MAX, Server};
pub use words::{
    Contract, Encoded, EventDeclaration, Joined, Joining, Refusal, Reloaded, Reply, Request,
};
