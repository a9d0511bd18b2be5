//! A seeded tree of blocks whose hashes, blooms and receipts roots are real, and what is true of it.
//!
//! It answers no question and tells no lie: [`crate::SimNode`] does.

mod block;
mod traffic;
mod tree;
mod truth;
mod unique;
mod view;

pub use block::Block;
pub use traffic::{Traffic, holder, token, transfer_topic};
pub use tree::Tree;
pub use truth::{balances, balances_of, expected, parties, wanted, wanted_ids};
pub use unique::{NFTS, nft, nft_topics};
pub use view::View;

pub(crate) use traffic::{LogBody, Transaction};
