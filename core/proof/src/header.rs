//! The header's hash, recomputed from its fields. Says nothing about who vouches for the hash.

use alloy_primitives::{B256, Keccak256, U256};
use alloy_rlp::{Encodable, Header as RlpHeader};
use event::Header;

/// Room for the payload of a header with every fork's field and 32 bytes of extra data.
const USUAL_PAYLOAD_BYTES: usize = 768;

/// Returns keccak256 of the header's RLP, with the fields of every fork up to EIP-7843.
///
/// Encodes straight from [`Header`]: no copy into another header type.
pub fn header_hash(header: &Header) -> B256 {
    let mut payload = Vec::with_capacity(USUAL_PAYLOAD_BYTES);
    encode_payload(header, &mut payload);
    let mut prefix = Vec::with_capacity(9);
    RlpHeader { list: true, payload_length: payload.len() }.encode(&mut prefix);
    let mut hasher = Keccak256::new();
    hasher.update(&prefix);
    hasher.update(&payload);
    hasher.finalize()
}

fn encode_payload(header: &Header, out: &mut Vec<u8>) {
    header.parent_hash.as_slice().encode(out);
    header.ommers_hash.as_slice().encode(out);
    header.beneficiary.as_slice().encode(out);
    header.state_root.as_slice().encode(out);
    header.transactions_root.as_slice().encode(out);
    header.receipts_root.as_slice().encode(out);
    header.logs_bloom.as_slice().encode(out);
    encode_u256(&header.difficulty, out);
    header.number.encode(out);
    header.gas_limit.encode(out);
    header.gas_used.encode(out);
    header.timestamp.encode(out);
    header.extra_data.as_ref().encode(out);
    header.mix_hash.as_slice().encode(out);
    header.nonce.as_slice().encode(out);
    // The optional fields follow in fork order; one that is absent is left out, as in alloy.
    encode_number(header.base_fee_per_gas, out);
    encode_hash(header.withdrawals_root.as_ref(), out);
    encode_number(header.blob_gas_used, out);
    encode_number(header.excess_blob_gas, out);
    encode_hash(header.parent_beacon_block_root.as_ref(), out);
    encode_hash(header.requests_hash.as_ref(), out);
    encode_hash(header.block_access_list_hash.as_ref(), out);
    encode_number(header.slot_number, out);
}

fn encode_number(number: Option<u64>, out: &mut Vec<u8>) {
    if let Some(number) = number {
        number.encode(out);
    }
}

fn encode_hash(hash: Option<&B256>, out: &mut Vec<u8>) {
    if let Some(hash) = hash {
        hash.as_slice().encode(out);
    }
}

fn encode_u256(number: &U256, out: &mut Vec<u8>) {
    let bytes: [u8; 32] = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B64, Bloom, Bytes};

    fn numbered(seed: u8) -> B256 {
        B256::repeat_byte(seed)
    }

    fn ours(forks: usize) -> Header {
        let number = |at: usize, n: u64| (forks >= at).then_some(n);
        let hash = |at: usize, n: u8| (forks >= at).then_some(numbered(n));
        Header {
            parent_hash: numbered(1),
            ommers_hash: numbered(2),
            beneficiary: Address::repeat_byte(3),
            state_root: numbered(4),
            transactions_root: numbered(5),
            receipts_root: numbered(6),
            logs_bloom: Bloom::repeat_byte(7),
            difficulty: U256::from(58_750_003_716_598_352_816_469u128),
            number: 127,
            gas_limit: 30_000_000,
            gas_used: 0,
            timestamp: 128,
            extra_data: Bytes::from_static(b"extra"),
            mix_hash: numbered(8),
            nonce: B64::repeat_byte(0),
            base_fee_per_gas: number(1, 7),
            withdrawals_root: hash(2, 9),
            blob_gas_used: number(3, 0),
            excess_blob_gas: number(3, 1 << 40),
            parent_beacon_block_root: hash(3, 10),
            requests_hash: hash(4, 11),
            block_access_list_hash: hash(5, 12),
            slot_number: number(6, 14_000_000),
        }
    }

    fn theirs(header: &Header) -> alloy_consensus::Header {
        alloy_consensus::Header {
            parent_hash: header.parent_hash,
            ommers_hash: header.ommers_hash,
            beneficiary: header.beneficiary,
            state_root: header.state_root,
            transactions_root: header.transactions_root,
            receipts_root: header.receipts_root,
            logs_bloom: header.logs_bloom,
            difficulty: header.difficulty,
            number: header.number,
            gas_limit: header.gas_limit,
            gas_used: header.gas_used,
            timestamp: header.timestamp,
            extra_data: header.extra_data.clone(),
            mix_hash: header.mix_hash,
            nonce: header.nonce,
            base_fee_per_gas: header.base_fee_per_gas,
            withdrawals_root: header.withdrawals_root,
            blob_gas_used: header.blob_gas_used,
            excess_blob_gas: header.excess_blob_gas,
            parent_beacon_block_root: header.parent_beacon_block_root,
            requests_hash: header.requests_hash,
            block_access_list_hash: header.block_access_list_hash,
            slot_number: header.slot_number,
        }
    }

    #[test]
    fn the_hash_of_every_fork_equals_that_of_alloy_consensus() {
        for forks in 0..=6 {
            let mut header = ours(forks);
            assert_eq!(header_hash(&header), theirs(&header).hash_slow(), "forks {forks}");
            header.difficulty = U256::ZERO;
            header.number = u64::MAX;
            header.extra_data = Bytes::from(vec![1; 70_000]);
            assert_eq!(header_hash(&header), theirs(&header).hash_slow(), "forks {forks}, wide");
        }
    }
}
