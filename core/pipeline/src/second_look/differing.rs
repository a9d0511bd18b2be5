//! Blocks that nodes differ in: who is right is asked of receipts, and of the other nodes.

use super::window::{Looking, Stop};
use crate::ReplayError;
use event::{BlockRange, Filter, NodeId, Verify};
use futures_util::future::FusedFuture;

/// What nodes must say alike of blocks that one of them gave in a way that does not hold up, where receipts
/// do not show them: until then it is owed.
const AGREED: Verify = Verify::Agree(2);

/// Blocks that one node and those before it differ in.
pub(super) struct Differing {
    pub(super) range: BlockRange,
    /// The one that differs.
    pub(super) node: usize,
    pub(super) seen: Vec<NodeId>,
    /// Why what it gave does not hold up, where that is all there is to say of it.
    pub(super) flaw: Option<String>,
}

impl Looking<'_> {
    /// Asks for the receipts of blocks in which nodes differ, and the other nodes; returns whether it
    /// is known now who is right.
    pub(super) async fn decide<F: FusedFuture<Output = ()> + Send>(
        &mut self,
        filter: &Filter,
        differing: &Differing,
        mut stop: Stop<'_, F>,
    ) -> Result<bool, ReplayError> {
        let Differing { range, node, seen, flaw } = differing;
        let is_new = |index: &usize| !seen.contains(&self.statuses[*index].node);
        let (others, before): (Vec<usize>, Vec<usize>) =
            (0..self.statuses.len()).filter(|index| index != node).partition(is_new);
        // The one that differs is heard once more at the end: what the others have shown by then
        // tells of it.
        let order = std::iter::once(*node).chain(others).chain(before).chain([*node]);
        let mut is_proved = false;
        for (asked, index) in order.enumerate() {
            let is_before = seen.contains(&self.statuses[index].node);
            if self.statuses[index].head.number < range.last() {
                continue;
            }
            let read = self.read(filter, *range, index, Verify::Prove, stop.as_mut()).await?;
            if read.stopped {
                return Ok(false);
            }
            // Once receipts show what is there, an answer that does not hold up changes nothing.
            is_proved |= read.open.is_empty() && read.held.is_empty();
            let is_sound = is_proved || read.doubts.is_empty();
            let is_settled = read.differs.is_empty() && is_sound && !is_before;
            if is_settled && (asked == 0 || index == *node) {
                return Ok(true);
            }
            // Of what does not hold up nothing is left to be told.
            if is_proved && flaw.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes what nothing has decided; returns whether it is known all the same, by two nodes that say the
    /// same. If not, it is open until it is so, whatever it is covered with.
    pub(super) async fn leave_open(
        &mut self,
        filter: &Filter,
        differing: &Differing,
    ) -> Result<bool, ReplayError> {
        let Differing { range, node, flaw, .. } = differing;
        let name = &self.statuses[*node].node;
        let Some(flaw) = flaw else {
            let why = "the nodes before it differ, and nothing shows who is right";
            self.outcome.open.push((*range, format!("{name} and {why}")));
            return Ok(false);
        };
        let (chain, owner) = (self.request.profile.chain, self.owner);
        let missing = owner.missing(chain, filter.clone(), *range, AGREED);
        if missing.await.map_err(|_| ReplayError::OwnerGone)?.is_empty() {
            return Ok(true);
        }
        let why = format!("{name}: {flaw}, and neither receipts nor another node show the block");
        owner.demand(chain, vec![filter.clone()], *range, AGREED, self.timer.unix_s());
        self.outcome.open.push((*range, why));
        Ok(false)
    }
}
