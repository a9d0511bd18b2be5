//! Yardstick (d): what a user would write with alloy alone. It fetches and parses every log and
//! drops it.

use crate::{
    error::BenchError,
    transfer::{TOKEN, TRANSFER},
};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::Filter;
use futures_util::{StreamExt, TryStreamExt, stream};

/// Blocks asked for at a time.
pub const BLOCKS_PER_REQUEST: u64 = 1_000;

/// Which logs to fetch, and how.
#[derive(Clone, Debug)]
pub struct FetchPlan {
    /// Node.
    pub url: String,
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
    /// Requests under way at once.
    pub concurrency: usize,
}

/// Fetches the logs and returns their number.
pub async fn fetch(plan: &FetchPlan) -> Result<u64, BenchError> {
    let url = plan.url.parse().map_err(|error| BenchError::Fetch {
        first: plan.first,
        last: plan.last,
        reason: format!("{}: {error}", plan.url),
    })?;
    let provider = ProviderBuilder::default().connect_http(url);
    let starts = (plan.first..=plan.last).step_by(BLOCKS_PER_REQUEST as usize);
    stream::iter(starts)
        .map(|first| {
            let provider = provider.clone();
            let last = plan.last.min(first + BLOCKS_PER_REQUEST - 1);
            // A task of its own, so that answers are parsed on every core.
            tokio::spawn(async move { fetch_range(&provider, first, last).await })
        })
        .buffer_unordered(plan.concurrency.max(1))
        .map(|joined| joined.expect("fetching does not panic"))
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await
}

async fn fetch_range(provider: &impl Provider, first: u64, last: u64) -> Result<u64, BenchError> {
    let filter =
        Filter::new().address(TOKEN).event_signature(TRANSFER).from_block(first).to_block(last);
    let logs = provider.get_logs(&filter).await.map_err(|error| BenchError::Fetch {
        first,
        last,
        reason: error.to_string(),
    })?;
    Ok(logs.len() as u64)
}
