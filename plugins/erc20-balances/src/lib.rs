//! Balances per token and holder, and holders and supply per token, from ERC-20 transfers.
//!
//! Table `balances` has one row per (token, holder) that ever took part in a transfer, also when
//! nothing is left; table `tokens` counts the holders with a balance above zero. The zero address
//! is where tokens come from and go to: it is no holder. Where the replayed range begins after a
//! token did, balances are relative to its beginning and may be negative; they are always what a
//! SQL sum over the same transfers gives.

mod amount;

use amount::Amount;
use headcount_plugin_sdk::{
    Batch, ColumnSpec, ColumnType, Descriptor, Failure, Host, Plugin, Rejection, Rows,
    Subscription, TableSpec, Visibility, events, export_plugin,
};
use std::collections::HashMap;

/// keccak256 of `Transfer(address,address,uint256)`.
const TRANSFER: [u8; 32] = [
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
    0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
];
const ZERO: [u8; 20] = [0; 20];

/// The plugin. It has no configuration and no memory of its own.
#[derive(Debug)]
pub struct Erc20Balances;

export_plugin!(Erc20Balances);

/// Changes of one key over a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    delta: Amount,
    /// The last event that touched it.
    seq: u64,
}

/// Changes by key, in the order in which keys were touched first.
struct Changes<const N: usize> {
    index: HashMap<[u8; N], usize>,
    list: Vec<([u8; N], Change)>,
}

impl<const N: usize> Changes<N> {
    fn new() -> Self {
        Self { index: HashMap::new(), list: Vec::new() }
    }

    fn of(&mut self, key: [u8; N], seq: u64) -> &mut Change {
        let at = *self.index.entry(key).or_insert_with(|| {
            self.list.push((key, Change::default()));
            self.list.len() - 1
        });
        let change = &mut self.list[at].1;
        change.seq = seq;
        change
    }
}

impl Plugin for Erc20Balances {
    fn describe() -> Descriptor {
        let column = |name: &str, ty| ColumnSpec { name: name.to_owned(), ty, nullable: false };
        Descriptor {
            name: "erc20-balances".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            logic_version: 1,
            visibility: Visibility::Latest,
            subscriptions: vec![Subscription {
                chains: vec![],
                addresses: vec![],
                events: vec!["Transfer(address,address,uint256)".to_owned()],
                topics: vec![],
                start_block: None,
                decode: false,
            }],
            tables: vec![
                TableSpec {
                    name: "balances".to_owned(),
                    columns: vec![
                        column("token", ColumnType::Address),
                        column("holder", ColumnType::Address),
                        column("balance", ColumnType::Bignum),
                    ],
                    key: vec!["token".to_owned(), "holder".to_owned()],
                },
                TableSpec {
                    name: "tokens".to_owned(),
                    columns: vec![
                        column("token", ColumnType::Address),
                        column("holders", ColumnType::Uint64),
                        column("supply", ColumnType::Bignum),
                    ],
                    key: vec!["token".to_owned()],
                },
            ],
        }
    }

    fn new(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let (mut holders, mut tokens) = (Changes::<40>::new(), Changes::<20>::new());
        for event in events(batch) {
            let Some((from, to, value)) = transfer(event.topics, event.data) else { continue };
            let token: [u8; 20] = event.address.try_into().unwrap_or(ZERO);
            let supply = tokens.of(token, event.seq);
            if from == ZERO {
                supply.delta = supply.delta.plus(value);
            }
            if to == ZERO {
                supply.delta = supply.delta.plus(value.negated());
            }
            for (holder, value) in [(from, value.negated()), (to, value)] {
                if holder != ZERO {
                    let mut key = [0; 40];
                    key[..20].copy_from_slice(&token);
                    key[20..].copy_from_slice(&holder);
                    let change = holders.of(key, event.seq);
                    change.delta = change.delta.plus(value);
                }
            }
        }
        if !tokens.list.is_empty() {
            write(host, &holders, &tokens)?;
        }
        Ok(Vec::new())
    }
}

/// Returns who paid whom how much, or `None` for what is no ERC-20 transfer: NFTs have a fourth
/// topic instead of data, and an address has twelve zero bytes before it.
fn transfer(topics: &[u8], data: &[u8]) -> Option<([u8; 20], [u8; 20], Amount)> {
    let value: [u8; 32] = data.try_into().ok()?;
    let topics: &[u8; 96] = topics.try_into().ok()?;
    let is_transfer = topics[..32] == TRANSFER;
    let is_padded = topics[32..44] == [0; 12] && topics[64..76] == [0; 12];
    let from = topics[44..64].try_into().ok()?;
    let to = topics[76..96].try_into().ok()?;
    (is_transfer && is_padded).then(|| (from, to, Amount::from_word(&value)))
}

fn write(host: &mut dyn Host, holders: &Changes<40>, tokens: &Changes<20>) -> Result<(), Failure> {
    let keys: Vec<Vec<u8>> = (holders.list.iter().map(|(key, _)| tagged(b'b', key)))
        .chain(tokens.list.iter().map(|(key, _)| tagged(b't', key)))
        .collect();
    let stored = host.get_many(&keys);
    let (stored_balances, stored_tokens) = stored.split_at(holders.list.len());
    let mut writes = Vec::with_capacity(keys.len());
    let mut keys = keys.into_iter();
    let mut holder_deltas = vec![0_i64; tokens.list.len()];

    let (mut token_column, mut holder_column) = (Vec::new(), Vec::new());
    let (mut balances, mut seqs) = (Vec::new(), Vec::new());
    for ((key, change), stored) in holders.list.iter().zip(stored_balances) {
        let before = stored.as_deref().map_or(Amount::default(), Amount::from_bytes);
        let after = before.plus(change.delta);
        let token: [u8; 20] = key[..20].try_into().unwrap_or(ZERO);
        holder_deltas[tokens.index[&token]] +=
            i64::from(after.is_positive()) - i64::from(before.is_positive());
        token_column.extend(token);
        holder_column.extend(&key[20..]);
        balances.push(after.to_string());
        seqs.push(change.seq);
        writes.extend(keys.next().map(|key| (key, after.to_bytes())));
    }
    let rows = Rows::new("balances", seqs)
        .addresses("token", token_column)
        .addresses("holder", holder_column)
        .text("balance", balances);
    if !rows.seqs.is_empty() {
        host.emit(rows)?;
    }

    let mut token_column = Vec::new();
    let (mut counts, mut supplies, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    for (((token, change), stored), delta) in
        tokens.list.iter().zip(stored_tokens).zip(holder_deltas)
    {
        let stored = stored.as_deref().and_then(|bytes| bytes.split_first_chunk::<8>());
        let (count, supply) = stored.map_or((0, Amount::default()), |(count, supply)| {
            (u64::from_be_bytes(*count), Amount::from_bytes(supply))
        });
        let count = count.saturating_add_signed(delta);
        let supply = supply.plus(change.delta);
        token_column.extend(token);
        counts.push(count);
        supplies.push(supply.to_string());
        seqs.push(change.seq);
        let mut value = count.to_be_bytes().to_vec();
        value.extend(supply.to_bytes());
        writes.extend(keys.next().map(|key| (key, value)));
    }
    let rows = Rows::new("tokens", seqs)
        .addresses("token", token_column)
        .unsigned("holders", counts)
        .text("supply", supplies);
    host.emit(rows)?;
    host.set_many(&writes)
}

fn tagged(tag: u8, key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(key.len() + 1);
    tagged.push(tag);
    tagged.extend_from_slice(key);
    tagged
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_plugin_sdk::FakeHost;

    type Raw = ([u8; 20], Vec<[u8; 32]>, Vec<u8>);

    fn moved(token: u8, from: u8, to: u8, value: u128) -> Raw {
        let word = |last: u8| {
            let mut word = [0; 32];
            word[31] = last;
            word
        };
        let mut data = vec![0; 16];
        data.extend(value.to_be_bytes());
        ([token; 20], vec![TRANSFER, word(from), word(to)], data)
    }

    fn run(host: &mut FakeHost, first_seq: u64, events: &[Raw]) {
        let batch = FakeHost::batch(first_seq, events);
        assert_eq!(Erc20Balances.handle(host, &batch).map_err(drop).map(|r| r.len()), Ok(0));
    }

    /// Last value of a key's text column, by table.
    fn last(host: &FakeHost, table: &str, key: &[u8], column: usize) -> Option<String> {
        use headcount_plugin_sdk::bindings::headcount::plugin::output::ColumnData;
        let mut found = None;
        for rows in host.rows.iter().filter(|rows| rows.table == table) {
            for row in 0..rows.seqs.len() {
                let mut own: Vec<u8> = Vec::new();
                for column in &rows.columns {
                    if let ColumnData::Fixed((20, packed)) = &column.data {
                        own.extend(&packed[20 * row..20 * row + 20]);
                    }
                }
                if own == key {
                    found = Some(match &rows.columns[column].data {
                        ColumnData::Text(values) => values[row].clone(),
                        ColumnData::Unsigned(values) => values[row].to_string(),
                        _ => String::new(),
                    });
                }
            }
        }
        found
    }

    fn balance(host: &FakeHost, token: u8, holder: u8) -> Option<String> {
        let mut key = vec![token; 20];
        key.extend([0; 19]);
        key.push(holder);
        last(host, "balances", &key, 2)
    }

    #[test]
    fn balances_add_up_over_batches_and_one_row_per_key_is_written() {
        let mut host = FakeHost::default();
        run(&mut host, 1, &[moved(9, 0, 1, 100), moved(9, 1, 2, 30), moved(9, 1, 2, 5)]);
        assert_eq!(host.rows[0].seqs, [3, 3]);
        run(&mut host, 4, &[moved(9, 2, 0, 35)]);
        assert_eq!(balance(&host, 9, 1).as_deref(), Some("65"));
        assert_eq!(balance(&host, 9, 2).as_deref(), Some("0"));
        assert_eq!(balance(&host, 9, 0), None, "the zero address is no holder");
        assert_eq!(last(&host, "tokens", &[9; 20], 1).as_deref(), Some("1"));
        assert_eq!(last(&host, "tokens", &[9; 20], 2).as_deref(), Some("65"));
    }

    #[test]
    fn a_holder_from_before_the_range_goes_below_zero() {
        let mut host = FakeHost::default();
        run(&mut host, 1, &[moved(9, 1, 2, 7)]);
        assert_eq!(balance(&host, 9, 1).as_deref(), Some("-7"));
        assert_eq!(last(&host, "tokens", &[9; 20], 1).as_deref(), Some("1"));
    }

    #[test]
    fn a_transfer_to_oneself_changes_nothing() {
        let mut host = FakeHost::default();
        run(&mut host, 1, &[moved(9, 0, 1, 7), moved(9, 1, 1, 5)]);
        assert_eq!(balance(&host, 9, 1).as_deref(), Some("7"));
    }

    #[test]
    fn sums_beyond_256_bits_stay_exact() {
        let mut host = FakeHost::default();
        let mut huge = moved(9, 0, 1, 0);
        huge.2 = vec![0xff; 32];
        run(&mut host, 1, &[huge.clone(), huge]);
        let twice =
            "231584178474632390847141970017375815706539969331281128078915168015826259279870";
        assert_eq!(balance(&host, 9, 1).as_deref(), Some(twice));
    }

    #[test]
    fn what_is_no_erc20_transfer_is_passed_over() {
        let mut host = FakeHost::default();
        let mut nft = moved(9, 1, 2, 0);
        nft.1.push([0; 32]);
        nft.2.clear();
        let mut short = moved(9, 1, 2, 1);
        short.2.pop();
        let mut dirty = moved(9, 1, 2, 1);
        dirty.1[1][0] = 1;
        let mut other = moved(9, 1, 2, 1);
        other.1[0][0] = 0;
        run(&mut host, 1, &[nft, short, dirty, other]);
        assert!(host.rows.is_empty() && host.state.is_empty());
    }
}
