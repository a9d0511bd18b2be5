//! What plugins set aside and what sinks refused, with all that is known of it.

use crate::{
    author::{DeadEvent, DeadMessage, DeadReport},
    command_error::CommandError,
    session::Look,
    suggest::closest,
};
use alloy_primitives::{B256, hex};
use event::{BlockRange, ChainId, EventId, EventQuery, Filter, LogRef, Value, content_digest};
use std::{ops::ControlFlow, sync::Arc};

/// Events of the generation that is written, in order.
const EVENTS: &str = "SELECT d.plugin, d.chain, d.seq, d.block_number, d.block_hash, d.tx_hash, d.digest, \
    d.occurrence, d.class, d.reason, d.attempts FROM main.dead_letters d \
    WHERE d.generation = (SELECT max(generation) FROM main.lanes l \
        WHERE l.plugin = d.plugin AND l.chain = d.chain) \
    ORDER BY d.plugin, d.chain, d.seq";

/// Every plugin that was ever opened here, or has left a message.
const KNOWN: &str = "SELECT plugin FROM main.plugins UNION SELECT plugin FROM main.lanes \
    UNION SELECT plugin FROM main.outbox ORDER BY plugin";

/// Dead messages, in order.
const MESSAGES: &str = "SELECT id, plugin, chain, sink, key, content_type, body, reason, attempts \
    FROM main.outbox WHERE status = 'dead' ORDER BY id";

/// Reads what is dead, of one plugin or of all.
pub(crate) fn dead(ledger: &mut Look, plugin: Option<&str>) -> Result<DeadReport, CommandError> {
    if let Some(plugin) = plugin {
        check_known(ledger, plugin)?;
    }
    let is_wanted = |name: &str| plugin.is_none_or(|plugin| plugin == name);
    let (mut events, mut messages) = (Vec::new(), Vec::new());
    ledger.query(EVENTS, &mut |_, row| {
        events.extend(event(&row).filter(|event| is_wanted(&event.plugin)));
        ControlFlow::Continue(())
    })?;
    ledger.query(MESSAGES, &mut |_, row| {
        messages.extend(message(&row).filter(|message| is_wanted(&message.plugin)));
        ControlFlow::Continue(())
    })?;
    Ok(DeadReport::new(events, messages))
}

/// A plugin that the ledger does not know has nothing set aside for another reason than it seems.
fn check_known(ledger: &mut Look, plugin: &str) -> Result<(), CommandError> {
    let mut known = Vec::new();
    ledger.query(KNOWN, &mut |_, row| {
        known.extend(row.first().and_then(text));
        ControlFlow::Continue(())
    })?;
    if known.iter().any(|name| name == plugin) {
        return Ok(());
    }
    let error = CommandError::usage(format!("the ledger knows no plugin `{plugin}`"));
    Err(match closest(plugin, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`headcount plugin list` shows every plugin of the ledger"),
    })
}

/// Reads the log of an event that was set aside.
pub(crate) fn fill_in(ledger: &mut Look, event: &mut DeadEvent) -> Result<(), CommandError> {
    let query = EventQuery {
        chain: ChainId(event.chain),
        filters: vec![Arc::new(Filter::any())],
        range: BlockRange::one(event.block),
        limit: u32::MAX as usize,
    };
    let page = ledger.events(&query)?;
    let is_it = |(log, occurrence): &(LogRef<'_>, &u32)| {
        let id = EventId {
            chain: ChainId(event.chain),
            block_hash: page.blocks[log.block as usize].hash,
            tx_hash: *log.tx_hash,
            digest: content_digest(*log),
            occurrence: **occurrence,
        };
        event.identity == Some(id)
    };
    if let Some((log, _)) = page.logs.rows().zip(&page.occurrence).find(is_it) {
        event.address = Some(format!("{:#x}", log.address));
        event.topics = log.topics.iter().map(|topic| format!("{topic:#x}")).collect();
        event.data = Some(format!("0x{}", hex::encode(log.data)));
    }
    Ok(())
}

fn event(row: &[Value]) -> Option<DeadEvent> {
    let [plugin, chain, seq, block, block_hash, tx, digest, occurrence, class, reason, attempts] =
        row
    else {
        return None;
    };
    let (plugin, chain, seq) = (text(plugin)?, number(chain)?, number(seq)?);
    let identity = EventId {
        chain: ChainId(chain),
        block_hash: hash(block_hash)?,
        tx_hash: hash(tx)?,
        digest: hash(digest)?,
        occurrence: u32::try_from(number(occurrence)?).ok()?,
    };
    Some(DeadEvent {
        id: format!("{plugin}:{chain}:{seq}"),
        plugin,
        chain,
        seq,
        block: number(block)?,
        block_hash: format!("{:#x}", identity.block_hash),
        tx_hash: format!("{:#x}", identity.tx_hash),
        class: text(class)?,
        reason: text(reason)?,
        attempts: number(attempts)?,
        address: None,
        topics: Vec::new(),
        data: None,
        identity: Some(identity),
    })
}

fn message(row: &[Value]) -> Option<DeadMessage> {
    let [id, plugin, chain, sink, key, content_type, body, reason, attempts] = row else {
        return None;
    };
    let Value::Blob(body) = body else { return None };
    let number_of = number(id)?;
    Some(DeadMessage {
        id: format!("m{number_of}"),
        number: number_of,
        plugin: text(plugin)?,
        chain: number(chain)?,
        sink: text(sink)?,
        key: text(key)?,
        content_type: text(content_type)?,
        body: match std::str::from_utf8(body) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("0x{}", hex::encode(body)),
        },
        reason: text(reason).unwrap_or_default(),
        attempts: number(attempts)?,
    })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn hash(value: &Value) -> Option<B256> {
    match value {
        Value::Blob(bytes) => B256::try_from(bytes.as_slice()).ok(),
        _ => None,
    }
}
