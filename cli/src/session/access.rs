//! How a command comes to a ledger: as its owner, or as a client of the process that owns it.
//!
//! Which of the two it is depends on the lock alone. Nothing here opens the file of a ledger that
//! another process of ours owns.

mod amend;
mod carried;
mod contracts;
mod desk;
mod forward;
mod joined;
mod look;
mod reach;
mod reads;

pub(crate) use amend::amend;
pub(super) use carried::{Carried, Counted};
pub(super) use contracts::as_contracts;
pub(super) use desk::{OwnerDesk, ReloadAsked};
pub(super) use joined::{Away, Joined, Miss};
pub(crate) use look::Look;
pub(super) use reach::{Owned, Reached, Seeker};
