//! The receipts root, recomputed from receipts as nodes return them, and the checks that receipts
//! must pass before they count as the truth about a block.

use crate::bloom::{LogBits, bloom_of_one};
use alloy_primitives::{B256, Bloom};
use alloy_rlp::{Encodable, Header as RlpHeader};
use alloy_trie::root::ordered_trie_root_with_encoder;
use event::{Flaw, Header, Log, Outcome, Receipt, ReportedBlock};

/// EIP-2718 type of OP-stack deposits.
const OP_DEPOSIT: u8 = 0x7e;
/// Highest Ethereum transaction type whose receipt has the common form.
const LAST_COMMON_TYPE: u8 = 4;

/// Why a receipts root does not recompute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptsError {
    /// How receipts of this type are encoded is not known.
    #[error("receipt {index} has unknown type {tx_type:#04x}")]
    UnknownType {
        /// Position in the block.
        index: usize,
        /// The type.
        tx_type: u8,
    },
    /// An OP deposit with a receipt version but without the nonce that it puts into the hash.
    #[error("receipt {index} is a deposit of version {version} without a nonce")]
    DepositNonce {
        /// Position in the block.
        index: usize,
        /// The version.
        version: u64,
    },
}

/// Returns the root of the receipts trie: types 0 to 4 and OP deposits. Blooms are recomputed
/// from the logs; the order is the slice's.
pub fn receipts_root(receipts: &[Receipt]) -> Result<B256, ReceiptsError> {
    root_with(receipts, &receipts.iter().map(bloom_of_one).collect::<Vec<_>>())
}

/// Returns the root of receipts whose blooms are these.
fn root_with(receipts: &[Receipt], blooms: &[Bloom]) -> Result<B256, ReceiptsError> {
    let each = receipts.iter().zip(blooms).enumerate();
    let leaves: Vec<Leaf<'_>> = each
        .map(|(index, (receipt, bloom))| Leaf::new(index, receipt, bloom))
        .collect::<Result<_, _>>()?;
    Ok(ordered_trie_root_with_encoder(&leaves, Leaf::encode))
}

/// A receipt that is known to have an encoding.
struct Leaf<'a> {
    receipt: &'a Receipt,
    bloom: &'a Bloom,
    /// Nonce and version of a deposit, where they are hashed.
    deposit: Option<(u64, u64)>,
}

impl<'a> Leaf<'a> {
    fn new(index: usize, receipt: &'a Receipt, bloom: &'a Bloom) -> Result<Self, ReceiptsError> {
        let tx_type = receipt.tx_type;
        if tx_type > LAST_COMMON_TYPE && tx_type != OP_DEPOSIT {
            return Err(ReceiptsError::UnknownType { index, tx_type });
        }
        // Before Canyon nodes return a nonce too, but it is not hashed.
        let version = receipt.deposit_receipt_version.filter(|_| tx_type == OP_DEPOSIT);
        let deposit = match (version, receipt.deposit_nonce) {
            (None, _) => None,
            (Some(version), Some(nonce)) => Some((nonce, version)),
            (Some(version), None) => return Err(ReceiptsError::DepositNonce { index, version }),
        };
        Ok(Self { receipt, bloom, deposit })
    }

    /// Appends the receipt as it is hashed. Lengths are counted first, so that nothing is moved.
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { receipt, bloom, deposit } = self;
        let logs: usize = receipt.logs.iter().map(|log| LogLengths::of(log).whole()).sum();
        let logs = RlpHeader { list: true, payload_length: logs };
        let outcome = match &receipt.outcome {
            Outcome::Status(status) => status.length(),
            Outcome::StateRoot(root) => root.as_slice().length(),
        };
        let payload_length = outcome
            + receipt.cumulative_gas_used.length()
            + bloom.as_slice().length()
            + logs.length_with_payload()
            + deposit.map_or(0, |(nonce, version)| nonce.length() + version.length());
        if receipt.tx_type != 0 {
            out.push(receipt.tx_type);
        }
        RlpHeader { list: true, payload_length }.encode(out);
        match &receipt.outcome {
            Outcome::Status(status) => status.encode(out),
            Outcome::StateRoot(root) => root.as_slice().encode(out),
        }
        receipt.cumulative_gas_used.encode(out);
        bloom.as_slice().encode(out);
        logs.encode(out);
        receipt.logs.iter().for_each(|log| encode_log(log, out));
        if let Some((nonce, version)) = deposit {
            nonce.encode(out);
            version.encode(out);
        }
    }
}

/// The list of a log, and the list of topics in it.
struct LogLengths {
    log: RlpHeader,
    topics: RlpHeader,
}

impl LogLengths {
    fn of(log: &Log) -> Self {
        let topics = RlpHeader { list: true, payload_length: log.topics.len() * 33 };
        let payload_length = 21 + topics.length_with_payload() + log.data.as_ref().length();
        Self { log: RlpHeader { list: true, payload_length }, topics }
    }

    const fn whole(&self) -> usize {
        self.log.length_with_payload()
    }
}

fn encode_log(log: &Log, out: &mut Vec<u8>) {
    let lengths = LogLengths::of(log);
    lengths.log.encode(out);
    log.address.as_slice().encode(out);
    lengths.topics.encode(out);
    for topic in &log.topics {
        topic.as_slice().encode(out);
    }
    log.data.as_ref().encode(out);
}

/// What keeps receipts from being the truth: the flaw, how many receipts, a sentence.
pub(crate) type Unfit = (Flaw, u64, String);

/// Checks everything about a block's receipts that needs no header.
pub(crate) fn check_shape(block: &ReportedBlock, receipts: &[Receipt]) -> Result<(), Unfit> {
    let elsewhere = receipts
        .iter()
        .filter(|r| r.block_hash != block.hash || r.block_number != block.number)
        .count() as u64;
    if elsewhere > 0 {
        let detail = format!("{elsewhere} receipts of another block for block {}", block.number);
        return Err((Flaw::ReceiptBlock, elsewhere, detail));
    }
    if let Some(transactions) = &block.transactions {
        let (have, want) = (receipts.len(), transactions.len());
        if have != want {
            let detail =
                format!("{have} receipts for {want} transactions of block {}", block.number);
            return Err((Flaw::ReceiptCount, have.abs_diff(want) as u64, detail));
        }
        let others = receipts.iter().zip(transactions).filter(|(r, tx)| r.tx_hash != **tx).count();
        if others > 0 {
            let detail =
                format!("{others} receipts of other transactions in block {}", block.number);
            return Err((Flaw::ReceiptCount, others as u64, detail));
        }
    }
    let moved = receipts.iter().enumerate().filter(|(i, r)| r.tx_index as usize != *i).count();
    if moved > 0 {
        let detail = format!("{moved} receipts out of order in block {}", block.number);
        return Err((Flaw::ReceiptCount, moved as u64, detail));
    }
    let falls = receipts
        .windows(2)
        .filter(|pair| pair[1].cumulative_gas_used < pair[0].cumulative_gas_used)
        .count() as u64;
    if falls > 0 {
        let detail = format!("cumulative gas falls in the receipts of block {}", block.number);
        return Err((Flaw::ReceiptsRoot, falls, detail));
    }
    let removed =
        receipts.iter().flat_map(|receipt| &receipt.logs).filter(|log| log.removed).count();
    if removed > 0 {
        let detail = format!("{removed} logs marked removed in the receipts of {}", block.number);
        return Err((Flaw::Removed, removed as u64, detail));
    }
    Ok(())
}

/// Checks receipts against a header that hashes to the block's hash, and returns their bloom.
pub(crate) fn check_root(
    header: &Header,
    receipts: &[Receipt],
    bits: &mut LogBits,
) -> Result<Bloom, Unfit> {
    let count = receipts.len() as u64;
    let blooms: Vec<Bloom> = receipts.iter().map(|receipt| bits.bloom_of(receipt)).collect();
    match root_with(receipts, &blooms) {
        Ok(root) if root == header.receipts_root => {
            Ok(blooms.iter().fold(Bloom::ZERO, |all, bloom| all | *bloom))
        }
        Ok(root) => {
            let detail = format!(
                "receipts of block {} recompute to {root}, the header has {}",
                header.number, header.receipts_root
            );
            Err((Flaw::ReceiptsRoot, count, detail))
        }
        Err(error) => {
            let detail = format!("receipts of block {} do not recompute: {error}", header.number);
            Err((Flaw::ReceiptsRoot, count, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, Bytes, keccak256};
    use alloy_trie::EMPTY_ROOT_HASH;

    fn receipt(tx_type: u8) -> Receipt {
        Receipt {
            tx_type,
            tx_hash: B256::ZERO,
            tx_index: 0,
            block_hash: B256::ZERO,
            block_number: 0,
            outcome: Outcome::Status(true),
            cumulative_gas_used: 21_000,
            logs: vec![Log {
                address: Address::repeat_byte(1),
                topics: vec![B256::repeat_byte(2); 4],
                data: Bytes::from(vec![5; 100]),
                log_index: 0,
                tx_index: 0,
                tx_hash: B256::ZERO,
                block_number: 0,
                block_hash: B256::ZERO,
                removed: false,
            }],
            deposit_nonce: None,
            deposit_receipt_version: None,
        }
    }

    fn theirs(receipt: &Receipt) -> alloy_consensus::ReceiptWithBloom<alloy_consensus::Receipt> {
        let Outcome::Status(status) = receipt.outcome else { unreachable!() };
        let logs = receipt
            .logs
            .iter()
            .map(|l| {
                alloy_primitives::Log::new(l.address, l.topics.clone(), l.data.clone())
                    .expect("four topics at most")
            })
            .collect();
        alloy_consensus::Receipt {
            status: status.into(),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs,
        }
        .with_bloom()
    }

    fn encode(index: usize, receipt: &Receipt) -> Result<Vec<u8>, ReceiptsError> {
        let mut out = Vec::new();
        Leaf::new(index, receipt, &bloom_of_one(receipt))?.encode(&mut out);
        Ok(out)
    }

    #[test]
    fn no_receipts_have_the_empty_root() {
        assert_eq!(receipts_root(&[]), Ok(EMPTY_ROOT_HASH));
    }

    #[test]
    fn every_common_type_encodes_as_alloy_consensus_does() {
        for tx_type in 0..=LAST_COMMON_TYPE {
            let ours = receipt(tx_type);
            let mut expected = Vec::new();
            if tx_type != 0 {
                expected.push(tx_type);
            }
            theirs(&ours).encode(&mut expected);
            assert_eq!(encode(0, &ours), Ok(expected), "type {tx_type}");
        }
    }

    #[test]
    fn a_state_root_takes_the_place_of_the_status_before_byzantium() {
        let mut before = receipt(0);
        let with_status = encode(0, &before).expect("known type");
        before.outcome = Outcome::StateRoot(B256::repeat_byte(9));
        let with_root = encode(0, &before).expect("known type");
        assert_eq!(with_root.len(), with_status.len() + 32);
        assert_eq!(&with_root[3..36], [&[0xa0][..], &[9; 32]].concat());
        assert_eq!(with_root[36..], with_status[4..]);
    }

    #[test]
    fn a_deposit_hashes_its_nonce_only_from_canyon_on() {
        let mut deposit = receipt(OP_DEPOSIT);
        let plain = encode(0, &deposit).expect("known type");
        deposit.deposit_nonce = Some(4_012_991);
        assert_eq!(encode(0, &deposit).as_deref(), Ok(&plain[..]), "regolith");
        deposit.deposit_receipt_version = Some(1);
        let canyon = encode(0, &deposit).expect("known type");
        assert_eq!(canyon.len(), plain.len() + 5);
        assert_eq!(&canyon[canyon.len() - 5..], [0x83, 0x3d, 0x3b, 0xbf, 0x01]);
        assert_ne!(keccak256(&canyon), keccak256(&plain));
        deposit.deposit_nonce = None;
        assert_eq!(encode(3, &deposit), Err(ReceiptsError::DepositNonce { index: 3, version: 1 }));
    }

    #[test]
    fn an_unknown_type_is_an_error_and_no_guess() {
        let odd = [receipt(0), receipt(0x7f)];
        assert_eq!(
            receipts_root(&odd),
            Err(ReceiptsError::UnknownType { index: 1, tx_type: 0x7f })
        );
    }
}
