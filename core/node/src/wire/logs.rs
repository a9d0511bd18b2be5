//! `eth_getLogs` answers, read once and straight into columns: the hot path.
//!
//! Logs of one block and transaction come one after the other, so the text of the last block hash
//! and transaction hash is remembered and decoded once. A pending log (no block hash, number or
//! index) fails the answer: it is no fact. `removed: true` is left out and counted.

use crate::hex::{AppendTo, Fixed, Quantity, fixed};
use alloy_primitives::{Address, B256};
use event::{Logs, LogsAnswer};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{collections::HashMap, fmt};

/// More topics than the EVM can emit.
const MAX_TOPICS: usize = 4;

/// Reads a list of logs.
pub(crate) struct LogsSeed;

impl<'de> DeserializeSeed<'de> for LogsSeed {
    type Value = LogsAnswer;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<LogsAnswer, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LogsSeed {
    type Value = LogsAnswer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of logs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LogsAnswer, A::Error> {
        let mut columns = Columns::default();
        while seq.next_element_seed(LogSeed(&mut columns))?.is_some() {}
        Ok(LogsAnswer {
            blocks: columns.blocks,
            logs: columns.logs,
            removed: columns.removed,
            bytes: 0,
        })
    }
}

#[derive(Default)]
struct Columns {
    logs: Logs,
    blocks: Vec<(u64, B256, Option<u64>)>,
    /// Only looked up when the block changes; never iterated.
    index: HashMap<(u64, B256), u32>,
    removed: u64,
    block_hash: LastHash,
    tx_hash: LastHash,
}

impl Columns {
    fn block(&mut self, number: u64, hash: B256, timestamp: Option<u64>) -> u32 {
        let last = self.logs.block.last().copied();
        let known = last.filter(|last| {
            let (last_number, last_hash, _) = self.blocks[*last as usize];
            last_number == number && last_hash == hash
        });
        let block = known.unwrap_or_else(|| {
            let next = self.blocks.len() as u32;
            let block = *self.index.entry((number, hash)).or_insert(next);
            if block == next {
                self.blocks.push((number, hash, None));
            }
            block
        });
        let known_timestamp = &mut self.blocks[block as usize].2;
        if known_timestamp.is_none() {
            *known_timestamp = timestamp;
        }
        block
    }

    fn forget_from(&mut self, topics: usize, data: usize) {
        self.logs.topics.truncate(topics);
        self.logs.data.truncate(data);
    }
}

/// The last hash and the text it was read from.
struct LastHash {
    text: [u8; 66],
    hash: B256,
}

impl Default for LastHash {
    fn default() -> Self {
        Self { text: [0; 66], hash: B256::ZERO }
    }
}

impl<'de> DeserializeSeed<'de> for &mut LastHash {
    type Value = B256;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<B256, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for &mut LastHash {
    type Value = B256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x and 32 bytes of hex (a pending log has none)")
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<B256, E> {
        if text != self.text {
            let hash = fixed(text).ok_or_else(|| E::custom("not 0x and 32 bytes of hex"))?;
            self.hash = B256::new(hash);
            self.text.copy_from_slice(text);
        }
        Ok(self.hash)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Address,
    Topics,
    Data,
    BlockNumber,
    BlockHash,
    BlockTimestamp,
    TransactionHash,
    TransactionIndex,
    LogIndex,
    Removed,
    #[serde(other)]
    Other,
}

struct LogSeed<'a>(&'a mut Columns);

impl<'de> DeserializeSeed<'de> for LogSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LogSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let columns = self.0;
        let (topics_start, data_start) = (columns.logs.topics.len(), columns.logs.data.len());
        let (mut has_topics, mut has_data, mut removed) = (false, false, false);
        let (mut address, mut block_hash, mut tx_hash) = (None, None, None);
        let (mut number, mut tx_index, mut log_index, mut timestamp) = (None, None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Address => {
                    address = Some(Address::from(map.next_value::<Fixed<20>>()?.0));
                }
                Field::Topics => {
                    columns.logs.topics.truncate(topics_start);
                    map.next_value_seed(TopicsSeed(&mut columns.logs.topics))?;
                    has_topics = true;
                }
                Field::Data => {
                    columns.logs.data.truncate(data_start);
                    map.next_value_seed(AppendTo(&mut columns.logs.data))?;
                    has_data = true;
                }
                Field::BlockNumber => number = Some(map.next_value::<Quantity>()?.0),
                Field::BlockHash => {
                    block_hash = Some(map.next_value_seed(&mut columns.block_hash)?);
                }
                Field::BlockTimestamp => {
                    timestamp = map.next_value::<Option<Quantity>>()?.map(|time| time.0);
                }
                Field::TransactionHash => {
                    tx_hash = Some(map.next_value_seed(&mut columns.tx_hash)?);
                }
                Field::TransactionIndex => tx_index = Some(index(map.next_value()?)?),
                Field::LogIndex => log_index = Some(index(map.next_value()?)?),
                Field::Removed => removed = map.next_value::<Option<bool>>()?.unwrap_or(false),
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if removed {
            columns.forget_from(topics_start, data_start);
            columns.removed += 1;
            return Ok(());
        }
        let missing = |field| A::Error::missing_field(field);
        if !has_topics {
            return Err(missing("topics"));
        }
        if !has_data {
            return Err(missing("data"));
        }
        let number = number.ok_or_else(|| missing("blockNumber"))?;
        let block_hash = block_hash.ok_or_else(|| missing("blockHash"))?;
        let block = columns.block(number, block_hash, timestamp.filter(|time| *time != 0));
        let logs = &mut columns.logs;
        logs.block.push(block);
        logs.tx_hash.push(tx_hash.ok_or_else(|| missing("transactionHash"))?);
        logs.tx_index.push(tx_index.ok_or_else(|| missing("transactionIndex"))?);
        logs.log_index.push(log_index.ok_or_else(|| missing("logIndex"))?);
        logs.address.push(address.ok_or_else(|| missing("address"))?);
        logs.topic_offsets.push(logs.topics.len() as u32);
        logs.data_offsets.push(offset(logs.data.len())?);
        Ok(())
    }
}

fn index<E: Error>(value: Quantity) -> Result<u32, E> {
    u32::try_from(value.0).map_err(|_| E::custom("an index above 32 bits"))
}

fn offset<E: Error>(bytes: usize) -> Result<u32, E> {
    u32::try_from(bytes).map_err(|_| E::custom("more than 4 GiB of data"))
}

struct TopicsSeed<'a>(&'a mut Vec<B256>);

impl<'de> DeserializeSeed<'de> for TopicsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TopicsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("up to four topics")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let start = self.0.len();
        while let Some(Fixed(topic)) = seq.next_element::<Fixed<32>>()? {
            if self.0.len() - start == MAX_TOPICS {
                return Err(A::Error::custom("a log with more than four topics"));
            }
            self.0.push(topic);
        }
        Ok(())
    }
}

/// A log inside a receipt. What it shares with the receipt may be missing there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptLog {
    pub(crate) address: Fixed<20>,
    pub(crate) topics: Vec<Fixed<32>>,
    pub(crate) data: crate::hex::Data,
    pub(crate) log_index: Quantity,
    pub(crate) transaction_index: Option<Quantity>,
    pub(crate) transaction_hash: Option<Fixed<32>>,
    pub(crate) block_number: Option<Quantity>,
    pub(crate) block_hash: Option<Fixed<32>>,
    #[serde(default)]
    pub(crate) removed: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LogsAnswer, serde_json::Error> {
        LogsSeed.deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    fn log(number: u64, index: u64, extra: &str) -> String {
        format!(
            r#"{{"address":"0x{}","topics":["0x{}","0x{}"],"data":"0x0102","blockNumber":"0x{number:x}",
            "transactionHash":"0x{}","transactionIndex":"0x1","blockHash":"0x{}","logIndex":"0x{index:x}"{extra}}}"#,
            "aa".repeat(20),
            "01".repeat(32),
            "02".repeat(32),
            "bb".repeat(32),
            format!("{number:02x}").repeat(32),
        )
    }

    #[test]
    fn logs_become_columns_and_blocks_are_listed_once() {
        let text =
            format!("[{},{},{},{}]", log(7, 0, ""), log(7, 1, ""), log(8, 0, ""), log(7, 2, ""));
        let answer = parse(&text).expect("four good logs");
        assert_eq!(answer.logs.block, [0, 0, 1, 0]);
        assert_eq!(answer.logs.log_index, [0, 1, 0, 2]);
        assert_eq!(answer.logs.topic_offsets, [0, 2, 4, 6, 8]);
        assert_eq!(answer.logs.data_offsets, [0, 2, 4, 6, 8]);
        assert_eq!(answer.logs.data_of(3), [1, 2]);
        assert_eq!(answer.blocks[1], (8, B256::repeat_byte(8), None));
        assert_eq!(answer.logs.tx_hash[3], B256::repeat_byte(0xbb));
    }

    #[test]
    fn f48_removed_logs_are_left_out_and_counted() {
        let text = format!(
            "[{},{},{}]",
            log(7, 0, ""),
            log(7, 1, r#","removed":true"#),
            log(7, 2, r#","removed":false"#)
        );
        let answer = parse(&text).expect("good logs");
        assert_eq!(answer.removed, 1);
        assert_eq!(answer.logs.log_index, [0, 2]);
        assert_eq!(answer.logs.topic_offsets, [0, 2, 4]);
        assert_eq!(answer.logs.data.len(), 4);
    }

    #[test]
    fn f46_a_missing_or_zero_block_timestamp_is_unknown() {
        let time =
            |extra: &str| parse(&format!("[{}]", log(7, 0, extra))).expect("a log").blocks[0].2;
        assert_eq!(time(""), None);
        assert_eq!(time(r#","blockTimestamp":"0x0""#), None);
        assert_eq!(time(r#","blockTimestamp":null"#), None);
        assert_eq!(time(r#","blockTimestamp":"0x14""#), Some(20));
        let text = format!("[{},{}]", log(7, 0, ""), log(7, 1, r#","blockTimestamp":"0x14""#));
        assert_eq!(parse(&text).expect("logs").blocks, [(7, B256::repeat_byte(7), Some(20))]);
    }

    #[test]
    fn a_pending_log_fails_the_answer() {
        let good = log(7, 0, "");
        for (from, to) in [
            (format!(r#""blockHash":"0x{}""#, "07".repeat(32)), r#""blockHash":null"#),
            (r#""blockNumber":"0x7""#.into(), r#""blockNumber":null"#),
            (r#""logIndex":"0x0""#.into(), r#""logIndex":null"#),
        ] {
            let pending = good.replace(&from, to);
            assert_ne!(pending, good);
            assert!(parse(&format!("[{pending}]")).is_err(), "{to}");
        }
    }

    #[test]
    fn wrong_shapes_fail_the_answer() {
        let good = log(7, 0, "");
        assert!(parse(&format!("[{good}]")).is_ok());
        for (from, to) in [
            (r#""data":"0x0102""#, r#""data":"0x010""#),
            (r#""data":"0x0102""#, r#""data":null"#),
            (r#""data":"0x0102","#, ""),
            (r#""logIndex":"0x0""#, r#""logIndex":"0x100000000""#),
            (r#""logIndex":"0x0""#, r#""logIndex":"0""#),
            (r#""topics":["#, r#""topics":["0x01","#),
            (r#""address":"0xaa"#, r#""address":"0x"#),
        ] {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good);
            assert!(parse(&format!("[{wrong}]")).is_err(), "{to}");
        }
        let topic = format!("\"0x{}\"", "01".repeat(32));
        let many =
            good.replacen("\"topics\":[", &format!("\"topics\":[{topic},{topic},{topic},"), 1);
        assert!(parse(&format!("[{many}]")).is_err());
        assert!(parse("[null]").is_err());
        assert!(parse("{}").is_err());
    }
}
