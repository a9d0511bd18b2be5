//! Who owns which NFT. ERC-721: table `owners`, one row per token id with its owner, the zero address
//! when it was burned. ERC-1155: table `holdings`, one row per token id and holder with the amount.
//!
//! Where the replayed range begins after a contract did, amounts of ERC-1155 are relative to its
//! beginning and may be negative; owners of ERC-721 are known from the first transfer that is read.

// Sums of 256-bit values, as for fungible tokens.
#[allow(dead_code, reason = "the sign of a sum plays no part here")]
#[path = "../../erc20-balances/src/amount.rs"]
mod amount;

use amount::Amount;
use headcount_plugin_sdk::{
    Batch, ColumnType, Describe, Descriptor, Event, Failure, Host, Plugin, Rejection, Rows, events,
    export_plugin,
};
use std::collections::BTreeMap;

const TRANSFER: &str = "Transfer(address,address,uint256)";
const SINGLE: &str = "TransferSingle(address,address,address,uint256,uint256)";
const BATCH: &str = "TransferBatch(address,address,address,uint256[],uint256[])";

/// Ids and amounts of one `TransferBatch`, at most: a block holds no more.
const BATCH_MAX: usize = 100_000;
/// Contract and token id.
const TOKEN_BYTES: usize = 52;

/// The plugin. It has no configuration and no memory of its own.
#[derive(Debug)]
pub struct NftOwners;

export_plugin!(NftOwners);

impl Plugin for NftOwners {
    fn describe() -> Descriptor {
        let token = ("token", ColumnType::Address);
        let id = ("token_id", ColumnType::Bignum);
        Describe::plugin("nft-owners", env!("CARGO_PKG_VERSION"))
            .event(TRANSFER)
            .event(SINGLE)
            .event(BATCH)
            .table("owners", &["token", "token_id"], &[token, id, ("owner", ColumnType::Address)])
            .table(
                "holdings",
                &["token", "token_id", "holder"],
                &[token, id, ("holder", ColumnType::Address), ("amount", ColumnType::Bignum)],
            )
            .done()
    }

    fn new(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let mut seen = Seen::default();
        let mut rejected = Vec::new();
        for event in events(batch) {
            let signature = batch.signatures.get(batch.signature[event.row] as usize);
            let taken = match signature.map(String::as_str) {
                Some(TRANSFER) => seen.unique(event),
                Some(SINGLE) => seen.single(event),
                Some(BATCH) => seen.batch(event),
                _ => Some(()),
            };
            if taken.is_none() {
                let reason = "its data is not what its signature says".to_owned();
                rejected.push(Rejection { seq: event.seq, reason });
            }
        }
        seen.write(host)?;
        Ok(rejected)
    }
}

/// What a batch changes, by key.
#[derive(Default)]
struct Seen {
    /// Owner of an ERC-721 token.
    owners: BTreeMap<[u8; TOKEN_BYTES], (u64, [u8; 20])>,
    /// Changes of what a holder of an ERC-1155 token has: contract, id, holder.
    holdings: BTreeMap<[u8; TOKEN_BYTES + 20], (u64, Amount)>,
}

impl Seen {
    /// `Transfer`, whose token id is indexed; that of a fungible token has no fourth topic.
    fn unique(&mut self, event: Event<'_>) -> Option<()> {
        if event.topic_count() == 4 && event.data.is_empty() {
            let key = token(event.address, event.topic(3)?)?;
            self.owners.insert(key, (event.seq, address(event.topic(2)?)?));
        }
        Some(())
    }

    /// `TransferSingle`: id and amount.
    fn single(&mut self, event: Event<'_>) -> Option<()> {
        let (id, amount) = event.data.split_at_checked(32)?;
        self.moved(event, &[(id, amount.try_into().ok()?)])
    }

    /// `TransferBatch`: two lists, each behind an offset from the beginning.
    fn batch(&mut self, event: Event<'_>) -> Option<()> {
        let (ids, amounts) = (list(event.data, 0)?, list(event.data, 1)?);
        if ids.len() != amounts.len() {
            return None;
        }
        let moved: Option<Vec<(&[u8], &[u8; 32])>> = (ids.chunks(32).zip(amounts.chunks(32)))
            .map(|(id, amount)| Some((id, amount.try_into().ok()?)))
            .collect();
        self.moved(event, &moved?)
    }

    fn moved(&mut self, event: Event<'_>, moved: &[(&[u8], &[u8; 32])]) -> Option<()> {
        let (from, to) = (address(event.topic(2)?)?, address(event.topic(3)?)?);
        for (id, amount) in moved {
            let token = token(event.address, id)?;
            let amount = Amount::from_word(amount);
            for (holder, change) in [(from, amount.negated()), (to, amount)] {
                // The zero address is where tokens come from and go to.
                if holder != [0; 20] {
                    let mut key = [0; TOKEN_BYTES + 20];
                    key[..TOKEN_BYTES].copy_from_slice(&token);
                    key[TOKEN_BYTES..].copy_from_slice(&holder);
                    let (seq, sum) = self.holdings.entry(key).or_default();
                    (*seq, *sum) = (event.seq, sum.plus(change));
                }
            }
        }
        Some(())
    }

    fn write(self, host: &mut dyn Host) -> Result<(), Failure> {
        if !self.owners.is_empty() {
            let keys = || self.owners.keys();
            let rows = Rows::new("owners", self.owners.values().map(|(seq, _)| *seq).collect())
                .addresses("token", keys().flat_map(|key| key[..20].to_vec()).collect())
                .words("token_id", keys().flat_map(|key| key[20..].to_vec()).collect())
                .addresses("owner", self.owners.values().flat_map(|(_, owner)| *owner).collect());
            host.emit(rows)?;
        }
        if self.holdings.is_empty() {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = self.holdings.keys().map(|key| key.to_vec()).collect();
        let before = host.get_many(&keys);
        let amounts: Vec<Amount> = (self.holdings.values().zip(&before))
            .map(|((_, change), before)| {
                before.as_deref().map_or(Amount::default(), Amount::from_bytes).plus(*change)
            })
            .collect();
        let part = |from: usize, to: usize| keys.iter().flat_map(move |key| key[from..to].to_vec());
        let rows = Rows::new("holdings", self.holdings.values().map(|(seq, _)| *seq).collect())
            .addresses("token", part(0, 20).collect())
            .words("token_id", part(20, TOKEN_BYTES).collect())
            .addresses("holder", part(TOKEN_BYTES, TOKEN_BYTES + 20).collect())
            .text("amount", amounts.iter().map(Amount::to_string).collect());
        host.emit(rows)?;
        let written = keys.iter().cloned().zip(amounts.iter().map(|amount| amount.to_bytes()));
        host.set_many(&written.collect::<Vec<_>>())
    }
}

fn token(contract: &[u8], id: &[u8]) -> Option<[u8; TOKEN_BYTES]> {
    let mut token = [0; TOKEN_BYTES];
    token[..20].copy_from_slice(contract.get(..20)?);
    token[20..].copy_from_slice(id.get(..32)?);
    Some(token)
}

/// An address as a topic has it, twelve zero bytes before it.
fn address(topic: &[u8]) -> Option<[u8; 20]> {
    topic.strip_prefix(&[0; 12])?.try_into().ok()
}

/// The words of list number `position`, packed.
fn list(data: &[u8], position: usize) -> Option<&[u8]> {
    let offset = number(data.get(32 * position..)?)?;
    let rest = data.get(offset..)?;
    let count = number(rest).filter(|count| *count <= BATCH_MAX)?;
    rest.get(32..32 + 32 * count)
}

/// A word that is small enough to count bytes.
fn number(word: &[u8]) -> Option<usize> {
    let (high, low) = word.get(..32)?.split_at(28);
    let low: [u8; 4] = low.try_into().ok()?;
    high.iter().all(|byte| *byte == 0).then(|| u32::from_be_bytes(low) as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use headcount_plugin_sdk::{
        FakeEvent, FakeHost, bindings::headcount::plugin::output::ColumnData,
    };

    fn word(last: u8) -> [u8; 32] {
        let mut word = [0; 32];
        word[31] = last;
        word
    }

    fn who(last: u8) -> [u8; 32] {
        let mut word = [0; 32];
        word[12..].fill(last);
        word
    }

    fn data(words: &[u8]) -> Vec<u8> {
        words.iter().flat_map(|last| word(*last)).collect()
    }

    fn run(host: &mut FakeHost, events: &[(usize, FakeEvent)]) -> Vec<Rejection> {
        let raw: Vec<FakeEvent> = events.iter().map(|(_, event)| event.clone()).collect();
        let mut batch = FakeHost::batch(1, &raw);
        batch.signatures = [TRANSFER, SINGLE, BATCH].map(str::to_owned).into();
        batch.signature = events.iter().map(|(signature, _)| *signature as u32).collect();
        NftOwners.handle(host, &batch).map_err(|_| ()).unwrap()
    }

    fn texts(host: &FakeHost) -> Vec<String> {
        let rows = host.rows.iter().filter(|rows| rows.table == "holdings");
        let columns = rows.flat_map(|rows| rows.columns.iter().map(|column| &column.data));
        let texts = columns.filter_map(|data| match data {
            ColumnData::Text(values) => Some(values.clone()),
            _ => None,
        });
        texts.flatten().collect()
    }

    #[test]
    fn the_last_transfer_of_an_erc_721_token_says_its_owner() {
        let moved =
            |to: u8, id: u8| (0, ([9; 20], vec![[0; 32], who(1), who(to), word(id)], vec![]));
        let erc20 = (0, ([9; 20], vec![[0; 32], who(1), who(2)], data(&[5])));
        let mut host = FakeHost::default();
        assert!(run(&mut host, &[moved(2, 7), moved(3, 7), moved(4, 8), erc20]).is_empty());
        assert_eq!(host.rows.len(), 1);
        assert_eq!((host.rows[0].table, host.rows[0].seqs.as_slice()), ("owners", &[2, 3][..]));
        let ColumnData::Fixed((20, owners)) = &host.rows[0].columns[2].data else { panic!() };
        assert_eq!(owners.as_slice(), [[3; 20], [4; 20]].concat());
    }

    #[test]
    fn amounts_of_erc_1155_add_up_over_batches() {
        let from_to = |from: u8, to: u8| vec![[0; 32], who(1), who(from), who(to)];
        let mint = (1, ([9; 20], from_to(0, 2), data(&[7, 10])));
        let both = (2, ([9; 20], from_to(2, 3), data(&[64, 160, 2, 7, 8, 2, 4, 1])));
        let mut host = FakeHost::default();
        assert!(run(&mut host, &[mint.clone(), both]).is_empty());
        // Holder 2 of token 7, holder 3 of token 7, then the same of token 8.
        assert_eq!(texts(&host), ["6", "4", "-1", "1"]);
        host.rows.clear();
        assert!(run(&mut host, &[mint]).is_empty());
        assert_eq!(texts(&host), ["16"]);
    }

    #[test]
    fn data_that_is_not_what_it_should_be_is_set_aside_and_the_rest_is_taken() {
        let topics = vec![[0; 32], who(1), who(2), who(3)];
        let bad = [
            (1, ([9; 20], topics.clone(), data(&[7]))),
            (2, ([9; 20], topics.clone(), data(&[64, 160, 2, 7, 8, 1, 4]))),
            (2, ([9; 20], topics.clone(), vec![0xff; 64])),
            (2, ([9; 20], topics.clone(), data(&[64, 64, 200]))),
        ];
        let good = (1, ([9; 20], topics, data(&[7, 1])));
        let mut host = FakeHost::default();
        let events: Vec<(usize, FakeEvent)> = bad.into_iter().chain([good]).collect();
        let rejected = run(&mut host, &events);
        assert_eq!(rejected.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(texts(&host), ["-1", "1"]);
    }
}
