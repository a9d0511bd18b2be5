//! What other programs do: keep a last block, and move it on when one node answers, whatever the
//! answer is. It retries what fails, which is more than many do.

use event::{Answer, Ask, BlockRange, EventId, Filter, Node, Tag};
use fakenode::event_ids;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Follows one node up to a block, and returns what it has then.
pub(super) async fn follow(
    node: Arc<dyn Node>,
    filter: Arc<Filter>,
    last_block: u64,
    poll_interval: Duration,
) -> BTreeSet<EventId> {
    let (mut cursor, mut kept) = (0, BTreeSet::new());
    while cursor < last_block {
        if let Ok(Answer::Head(head)) = node.ask(Ask::Head(Tag::Latest)).await
            && let Some(range) = BlockRange::new(cursor + 1, head.block.number)
        {
            let ask = Ask::Logs { filter: filter.clone(), range };
            if let Ok(Answer::Logs(logs)) = node.ask(ask).await {
                kept.extend(event_ids(super::stage::CHAIN, &logs));
                cursor = range.last();
            }
        }
        tokio::time::sleep(poll_interval).await;
    }
    kept
}
