//! Troubles that leave no answer: what the transport makes of each of them.

use crate::{Trouble, faults::Active};
use event::{Ask, Fault, FaultClass, NodeId};

/// Returns a fault of this node.
pub(crate) fn fault(node: &NodeId, ask: &Ask, class: FaultClass, text: &str) -> Fault {
    Fault { node: node.clone(), method: method_of(ask).into(), class, text: text.into() }
}

/// Returns the JSON-RPC method of a question.
pub(crate) const fn method_of(ask: &Ask) -> &'static str {
    match ask {
        Ask::ChainId => "eth_chainId",
        Ask::ClientVersion => "web3_clientVersion",
        Ask::Head(_) | Ask::Headers { .. } => "eth_getBlockByNumber",
        Ask::Logs { .. } | Ask::LogsByHash { .. } => "eth_getLogs",
        Ask::HeaderByHash { .. } => "eth_getBlockByHash",
        Ask::Receipts { .. } | Ask::ReceiptsOf { .. } => "eth_getBlockReceipts",
        Ask::Syncing => "eth_syncing",
        Ask::PeerCount => "net_peerCount",
        Ask::Code { .. } => "eth_getCode",
        Ask::Call { .. } => "eth_call",
    }
}

/// Returns how much later than usual the node says anything, in milliseconds; `None` is never.
pub(crate) fn delay_ms(active: &[Active]) -> Option<u64> {
    let delay = |active: &Active| match active.trouble() {
        Trouble::NeverAnswers => None,
        Trouble::TimesOut { after_ms } => Some(*after_ms),
        Trouble::Slow { by_ms } => Some(*by_ms),
        _ => Some(0),
    };
    active.iter().map(delay).try_fold(0u64, |sum, delay| Some(sum.saturating_add(delay?)))
}

/// Returns the fault instead of an answer, by the first rule that has one.
pub(crate) fn refusal(node: &NodeId, ask: &Ask, active: &[Active]) -> Option<Fault> {
    active.iter().find_map(|active| {
        let (class, text) = refused(ask, active)?;
        Some(fault(node, ask, class, text))
    })
}

fn refused(ask: &Ask, active: &Active) -> Option<(FaultClass, &'static str)> {
    let refused = match active.trouble() {
        Trouble::Unreachable => (FaultClass::Unreachable, "connection refused"),
        Trouble::TimesOut { .. } => (FaultClass::TimedOut, "no answer before the deadline"),
        Trouble::RateLimited { retry_after_ms } => {
            (FaultClass::Rate { retry_after_ms: *retry_after_ms }, "too many requests")
        }
        Trouble::QuotaUsedUp => (FaultClass::Quota, "monthly capacity limit exceeded"),
        Trouble::Malformed => (FaultClass::Malformed, "expected JSON, found `<`"),
        Trouble::Dropped => (FaultClass::Dropped, "connection reset by peer"),
        Trouble::Unauthorized => (FaultClass::Auth, "401 Unauthorized"),
        Trouble::MethodMissing => (FaultClass::Off, "the method does not exist/is not available"),
        Trouble::Pruned => match ask {
            Ask::Logs { range, .. } if (range.first()..=range.last()).any(|n| active.hits(n)) => {
                (FaultClass::Pruned { earliest: None }, "pruned history unavailable")
            }
            Ask::LogsByHash { block, .. } | Ask::Receipts { block }
                if active.hits(block.number) =>
            {
                (FaultClass::Pruned { earliest: None }, "pruned history unavailable")
            }
            _ => return None,
        },
        Trouble::NoFinalizedTag if matches!(ask, Ask::Head(_)) => {
            (FaultClass::Tag, "finalized block not found")
        }
        Trouble::NullBlock => match ask {
            Ask::Headers { range } if (range.first()..=range.last()).any(|n| active.hits(n)) => {
                (FaultClass::Unknown, "null")
            }
            Ask::HeaderByHash { .. } => (FaultClass::Unknown, "null"),
            _ => return None,
        },
        Trouble::NullReceipts => match ask {
            Ask::Receipts { block } if active.hits(block.number) => (FaultClass::Unknown, "null"),
            _ => return None,
        },
        Trouble::BatchRefused { most } => match ask {
            Ask::Headers { range } if range.count() > *most => {
                (FaultClass::Batch, "batch too large")
            }
            _ => return None,
        },
        Trouble::RangeRefused { width_max } => match ask {
            Ask::Logs { range, .. } if range.count() > *width_max => {
                let width = (*width_max).max(1);
                (FaultClass::MaxWidth { width }, "exceed maximum block range")
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(refused)
}
