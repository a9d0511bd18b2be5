//! The plan of the daisy chain: through which node each range of a filter is read a second time.
//!
//! Any node that did not see the range first will do, and one of another client does better: two of
//! one client may have lost the same. Asks nobody; reads no clock.

use crate::NodeStatus;
use event::{BlockRange, NodeId, Seen};

/// Through which node a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Blocks.
    pub range: BlockRange,
    /// Index of the node; `None` where there is no other one.
    pub node: Option<usize>,
    /// Whether it is known to be of another client than all that saw the range first.
    pub is_other_client: bool,
}

/// Says of each range through which of `nodes`, in order of preference, it is read again. Neighbours
/// that go to the same node are joined.
pub fn second_look(seen: &[Seen], nodes: &[NodeStatus]) -> Vec<Planned> {
    let mut plan: Vec<Planned> = Vec::new();
    for Seen { range, nodes: before, .. } in seen {
        let others = || {
            nodes.iter().enumerate().filter(|(_, node)| {
                !before.contains(&node.node) && node.head.number >= range.last()
            })
        };
        let other_client = others().find(|(_, node)| is_other_client(node, before, nodes));
        let planned = Planned {
            range: *range,
            node: other_client.or_else(|| others().next()).map(|(index, _)| index),
            is_other_client: other_client.is_some(),
        };
        match plan.last_mut() {
            Some(last)
                if last.range.last().checked_add(1) == Some(range.first())
                    && (last.node, last.is_other_client)
                        == (planned.node, planned.is_other_client) =>
            {
                last.range = BlockRange::new(last.range.first(), range.last()).unwrap_or(*range);
            }
            _ => plan.push(planned),
        }
    }
    plan
}

/// Whether a node is of another client than each of `before`, as far as these are known.
fn is_other_client(node: &NodeStatus, before: &[NodeId], nodes: &[NodeStatus]) -> bool {
    let Some(client) = client_name(node) else { return false };
    let is_other = |name: &NodeId| {
        let status = nodes.iter().find(|status| status.node == *name);
        status.and_then(client_name).is_some_and(|other| !other.eq_ignore_ascii_case(client))
    };
    !before.is_empty() && before.iter().all(is_other)
}

/// The client without its version: what stands before the first `/` or space.
fn client_name(status: &NodeStatus) -> Option<&str> {
    let name = status.client.as_deref()?.split(['/', ' ']).next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::BlockNumHash;

    fn node(name: &str, client: Option<&str>, head: u64) -> NodeStatus {
        NodeStatus {
            node: NodeId::new(name),
            client: client.map(Into::into),
            head: BlockNumHash { number: head, hash: Default::default() },
            finalized: Some(head),
        }
    }

    fn seen(first: u64, last: u64, nodes: &[&str]) -> Seen {
        let range = BlockRange::new(first, last).unwrap();
        Seen { range, nodes: nodes.iter().copied().map(NodeId::new).collect(), leads_to: None }
    }

    fn planned(first: u64, last: u64, node: Option<usize>, is_other_client: bool) -> Planned {
        Planned { range: BlockRange::new(first, last).unwrap(), node, is_other_client }
    }

    #[test]
    fn each_range_is_read_through_another_node_and_of_another_client_where_there_is_one() {
        let (geth, reth) = (Some("Geth/v1.17.1"), Some("reth/v2"));
        let three = [node("a", geth, 99), node("b", geth, 99), node("c", reth, 99)];
        let two_alike = [node("a", geth, 99), node("b", Some("geth 1.16"), 99)];
        let unnamed = [node("a", None, 99), node("b", geth, 99), node("c", reth, 99)];
        let behind = [node("a", geth, 99), node("b", geth, 99), node("c", reth, 50)];
        for (what, seen, nodes, plan) in [
            (
                "another client",
                vec![seen(1, 9, &["a"])],
                &three[..],
                vec![planned(1, 9, Some(2), true)],
            ),
            ("in order", vec![seen(1, 9, &["c"])], &three, vec![planned(1, 9, Some(0), true)]),
            (
                "the one left",
                vec![seen(1, 9, &["a", "c"])],
                &three,
                vec![planned(1, 9, Some(1), false)],
            ),
            (
                "no other",
                vec![seen(1, 9, &["a", "b", "c"])],
                &three,
                vec![planned(1, 9, None, false)],
            ),
            ("alone", vec![seen(1, 9, &["a"])], &three[..1], vec![planned(1, 9, None, false)]),
            ("alike", vec![seen(1, 9, &["a"])], &two_alike, vec![planned(1, 9, Some(1), false)]),
            (
                "a client unknown",
                vec![seen(1, 9, &["a"])],
                &unnamed,
                vec![planned(1, 9, Some(1), false)],
            ),
            ("gone since", vec![seen(1, 9, &["z"])], &three, vec![planned(1, 9, Some(0), false)]),
            ("behind", vec![seen(1, 60, &["a"])], &behind, vec![planned(1, 60, Some(1), false)]),
            (
                "joined where the same node reads on",
                vec![seen(1, 9, &["a"]), seen(10, 19, &["b"]), seen(20, 29, &["c"])],
                &three,
                vec![planned(1, 19, Some(2), true), planned(20, 29, Some(0), true)],
            ),
        ] {
            assert_eq!(second_look(&seen, nodes), plan, "{what}");
        }
    }
}
