//! Whether a node is on the chain that the ledger has, before it counts as one that says the same: an
//! empty answer of a block would be the same on any chain. Reads no logs.
//!
//! Final headers link, so that one hash above a range stands for all of it.

use super::window::{Looking, Window};
use crate::audit::block_at;
use event::{Answer, Ask, BlockNumHash, BlockRange, Seen};

impl Looking<'_> {
    /// Returns what of a range the node can be asked for, in ranges with their parts: those on whose
    /// last block it and the ledger, or a node that saw it first, agree. What is left is for another.
    pub(super) async fn on_one_chain(
        &mut self,
        range: BlockRange,
        parts: Vec<Seen>,
        node: usize,
        window: &mut Window,
    ) -> Vec<(BlockRange, Vec<Seen>)> {
        let (mut agreed, mut has_failed) = (Vec::new(), false);
        for part in parts {
            match self.check(&part, node).await {
                Ok(()) => agreed.push(part),
                Err(why) => {
                    has_failed = true;
                    let name = self.statuses[node].node.clone();
                    window.fail(part, &name, &why);
                }
            }
        }
        match (has_failed, agreed.is_empty()) {
            (false, false) => vec![(range, agreed)],
            _ => agreed.into_iter().map(|part| (part.range, vec![part])).collect(),
        }
    }

    /// Says why the node cannot be taken for one that has the same blocks, if so.
    async fn check(&mut self, part: &Seen, node: usize) -> Result<(), String> {
        let head = self.statuses[node].head.number;
        let known = part.leads_to.filter(|block| block.number <= head);
        let (expected, by, first) = match known {
            Some(block) => (block, "the ledger".to_owned(), None),
            None => match self.asked_of_the_first(part).await? {
                Some((block, name, first)) => (block, name, Some(first)),
                None if part.leads_to.is_some() => {
                    return Err(format!(
                        "it is at block {head} only, below what there is to compare"
                    ));
                }
                // No header was ever read, and nobody who saw the blocks is here: only their events can
                // be compared.
                None => return Ok(()),
            },
        };
        let found = self.block_at(node, expected.number).await;
        if found == Ok(expected) || self.leads_to(node, expected, first).await {
            return Ok(());
        }
        Err(format!(
            "it has another block {} than {by}: {}, not {}",
            expected.number, found?.hash, expected.hash
        ))
    }

    /// Whether the block above that one tells of the same chain. One header that is wrong, or not given,
    /// stands for none of the others.
    async fn leads_to(&mut self, node: usize, block: BlockNumHash, first: Option<usize>) -> bool {
        let Some(parent) = self.parent_above(node, block.number).await else { return false };
        if parent == block {
            return true;
        }
        match first {
            Some(first) => self.parent_above(first, block.number).await == Some(parent),
            None => false,
        }
    }

    /// Returns a block as a node has it in the header above.
    async fn parent_above(&mut self, node: usize, number: u64) -> Option<BlockNumHash> {
        let above = number.checked_add(1)?;
        if above > self.statuses[node].head.number {
            return None;
        }
        let ask = Ask::Headers { range: BlockRange::one(above) };
        if let Some(pace) = &self.request.pace {
            pace.turn(&ask, self.timer).await;
        }
        match crate::greet::ask(&*self.request.nodes[node].node, ask, self.timer).await {
            Ok(Answer::Headers(headers)) => {
                Some(BlockNumHash { number, hash: headers.first()?.header.parent_hash })
            }
            _ => None,
        }
    }

    /// Asks those that saw the blocks first for the last of them; `None` where none of them is here.
    async fn asked_of_the_first(
        &mut self,
        part: &Seen,
    ) -> Result<Option<(BlockNumHash, String, usize)>, String> {
        let last = part.range.last();
        let mut why = None;
        for index in 0..self.statuses.len() {
            let status = &self.statuses[index];
            if status.head.number < last || !part.nodes.contains(&status.node) {
                continue;
            }
            let name = status.node.to_string();
            match self.block_at(index, last).await {
                Ok(block) => return Ok(Some((block, name, index))),
                Err(fault) => why = Some(format!("{name} gives no header to compare: {fault}")),
            }
        }
        why.map_or(Ok(None), Err)
    }

    /// Returns a block of a node, asked once.
    async fn block_at(&mut self, node: usize, number: u64) -> Result<BlockNumHash, String> {
        if let Some(block) = self.hashes.get(&(node, number)) {
            return Ok(*block);
        }
        if let Some(pace) = &self.request.pace {
            let ask = Ask::Headers { range: BlockRange::one(number) };
            pace.turn(&ask, self.timer).await;
        }
        let block = block_at(&*self.request.nodes[node].node, number, self.timer).await?;
        if self.hashes.len() >= HASHES_MAX {
            self.hashes.clear();
        }
        self.hashes.insert((node, number), block);
        Ok(block)
    }
}

/// Hashes remembered in a run, at most; beyond it they are asked again.
const HASHES_MAX: usize = 4_096;
