//! Nodes that answer from another chain: noted in the ledger, once until they are back.

use super::Owner;
use event::{BlockRange, ChainId, Commit, Fault, Flaw, Incident};

impl Owner {
    /// Notes that a node is on another chain, unless that is known.
    pub(super) fn on_elsewhere(&mut self, chain: ChainId, range: BlockRange, fault: Fault) {
        let is_new = self.elsewhere.insert((chain, fault.node.clone()));
        if !is_new || !self.chains.contains_key(&chain) {
            return;
        }
        let detail = format!("{}: it is used for nothing until it is back", fault.text);
        let (node, flaw) = (fault.node, Flaw::WrongChain);
        let incident = Incident { chain, node, range, flaw, count: 1, detail };
        self.commits.push(Commit { incidents: vec![incident], ..Commit::empty(chain) });
    }
}
