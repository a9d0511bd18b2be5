//! Every transfer of an ERC-20 token as a row of the table `transfers`.
//!
//! A plugin is a function of the batch, its configuration and its own state: a fresh one handles every
//! batch, and what it writes is committed together with how far it has come, or not at all.

use headcount_plugin_sdk::{
    Batch, ColumnType, Describe, Descriptor, Failure, Host, Plugin, Rejection, Rows, events,
    export_plugin,
};

/// The plugin.
#[derive(Debug)]
pub struct Handler;

export_plugin!(Handler);

impl Plugin for Handler {
    fn describe() -> Descriptor {
        let columns = [
            ("token", ColumnType::Address),
            ("sender", ColumnType::Address),
            ("receiver", ColumnType::Address),
            ("value", ColumnType::Bignum),
        ];
        Describe::plugin(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .event("Transfer(address,address,uint256)")
            .table("transfers", &[], &columns)
            .done()
    }

    fn new(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let (mut seqs, mut tokens, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for event in events(batch) {
            // The transfer of an NFT has a third indexed argument and no data.
            let (Some(from), Some(to)) = (event.topic(1), event.topic(2)) else { continue };
            if event.topic_count() == 3 && event.data.len() == 32 {
                seqs.push(event.seq);
                tokens.extend(event.address);
                senders.extend(&from[12..]);
                receivers.extend(&to[12..]);
                values.extend(event.data);
            }
        }
        let rows = Rows::new("transfers", seqs).addresses("token", tokens);
        let rows = rows.addresses("sender", senders).addresses("receiver", receivers);
        host.emit(rows.words("value", values))?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_plugin_sdk::{FakeEvent, FakeHost};

    fn word(last: u8) -> [u8; 32] {
        let mut word = [0; 32];
        word[31] = last;
        word
    }

    #[test]
    fn a_transfer_is_a_row_and_an_nft_is_not() {
        // Address, topics, data. Topic 0 is the event's hash; nothing else is subscribed to.
        let token: FakeEvent = ([9; 20], vec![word(0), word(1), word(2)], word(50).to_vec());
        let nft: FakeEvent = ([8; 20], vec![word(0), word(1), word(2), word(3)], Vec::new());
        let mut host = FakeHost::default();
        let handled = Handler.handle(&mut host, &FakeHost::batch(1, &[nft, token]));
        assert!(handled.is_ok());
        assert_eq!(host.rows[0].table, "transfers");
        assert_eq!(host.rows[0].seqs, [2], "the second event");
    }
}
