//! `eth_getBlockReceipts` answers, with every field that enters the receipts root.

use super::logs::ReceiptLog;
use crate::hex::{Data, Fixed, Quantity};
use alloy_primitives::{Address, B256};
use event::{Log, Outcome, Receipt};
use serde::Deserialize;

/// A receipt as it is on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptFields {
    /// Missing before EIP-2718.
    #[serde(rename = "type")]
    tx_type: Option<Quantity>,
    transaction_hash: Fixed<32>,
    transaction_index: Quantity,
    block_hash: Fixed<32>,
    block_number: Quantity,
    status: Option<Quantity>,
    root: Option<Data>,
    cumulative_gas_used: Quantity,
    logs: Vec<ReceiptLog>,
    deposit_nonce: Option<Quantity>,
    deposit_receipt_version: Option<Quantity>,
}

impl ReceiptFields {
    /// Returns the receipt; the text says what is wrong with it.
    pub(crate) fn into_receipt(self) -> Result<Receipt, String> {
        let index = |value: Quantity| {
            u32::try_from(value.0).map_err(|_| "an index above 32 bits".to_owned())
        };
        let tx_type = self.tx_type.map_or(0, |value| value.0);
        let outcome = outcome(self.status, self.root)?;
        let tx_index = index(self.transaction_index)?;
        let mut logs = Vec::with_capacity(self.logs.len());
        for log in self.logs {
            if log.topics.len() > 4 {
                return Err("a log with more than four topics".to_owned());
            }
            logs.push(Log {
                address: Address::from(log.address.0),
                topics: log.topics.into_iter().map(|topic| topic.0).collect(),
                data: log.data.0.into(),
                log_index: index(log.log_index)?,
                tx_index: log.transaction_index.map_or(Ok(tx_index), index)?,
                tx_hash: log.transaction_hash.unwrap_or(self.transaction_hash).0,
                block_number: log.block_number.unwrap_or(self.block_number).0,
                block_hash: log.block_hash.unwrap_or(self.block_hash).0,
                removed: log.removed.unwrap_or(false),
            });
        }
        Ok(Receipt {
            tx_type: u8::try_from(tx_type)
                .map_err(|_| "a transaction type above 255".to_owned())?,
            tx_hash: self.transaction_hash.0,
            tx_index,
            block_hash: self.block_hash.0,
            block_number: self.block_number.0,
            outcome,
            cumulative_gas_used: self.cumulative_gas_used.0,
            logs,
            deposit_nonce: self.deposit_nonce.map(|value| value.0),
            deposit_receipt_version: self.deposit_receipt_version.map(|value| value.0),
        })
    }
}

/// Before Byzantium a receipt has a state root, after it a status. Nodes that send both fill the
/// one that does not exist with nothing or zeros, so a real root decides.
fn outcome(status: Option<Quantity>, root: Option<Data>) -> Result<Outcome, String> {
    let root = root.filter(|root| root.0.len() == 32).map(|root| B256::from_slice(&root.0));
    match (root, status) {
        (Some(root), _) if !root.is_zero() => Ok(Outcome::StateRoot(root)),
        (_, Some(Quantity(0))) => Ok(Outcome::Status(false)),
        (_, Some(Quantity(1))) => Ok(Outcome::Status(true)),
        (_, Some(Quantity(other))) => Err(format!("a receipt with status {other}")),
        (_, None) => Err("a receipt without status and root".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_root_decides_over_a_status_beside_it() {
        let root = |byte| Some(Data(vec![byte; 32]));
        let expected = Outcome::StateRoot(B256::repeat_byte(1));
        assert_eq!(outcome(None, root(1)), Ok(expected));
        assert_eq!(outcome(Some(Quantity(1)), root(1)), Ok(expected));
        assert_eq!(outcome(Some(Quantity(1)), root(0)), Ok(Outcome::Status(true)));
        assert_eq!(outcome(Some(Quantity(0)), Some(Data(vec![]))), Ok(Outcome::Status(false)));
        assert!(outcome(None, None).is_err());
        assert!(outcome(Some(Quantity(2)), None).is_err());
    }
}
