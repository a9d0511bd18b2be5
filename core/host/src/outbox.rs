//! Messages that one call of a guest stages. When they are sent, and whether, is decided elsewhere.

use crate::{
    Grants, Limits,
    bindings::headcount::plugin::outbox::{Host, Message as Wire, OutboxError},
    call::Call,
    limits::ENTRY_BYTES,
    said,
};
use event::Message;
use std::{collections::BTreeSet, sync::Arc};

/// Bytes of a key, at most.
const KEY_BYTES: usize = 256;
/// Bytes of a content type, at most.
const CONTENT_TYPE_BYTES: usize = 128;

/// What a call has staged.
pub(crate) struct Staged {
    limits: Arc<Limits>,
    grants: Arc<Grants>,
    messages: Vec<Message>,
    /// Sink and key of each.
    keys: BTreeSet<(String, String)>,
    bytes: usize,
}

impl Staged {
    pub(crate) fn new(limits: &Arc<Limits>, grants: Arc<Grants>) -> Self {
        let limits = Arc::clone(limits);
        Self { limits, grants, messages: Vec::new(), keys: BTreeSet::new(), bytes: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    fn enqueue(&mut self, message: Wire) -> Result<(), OutboxError> {
        let Wire { sink, key, content_type, body } = message;
        if !self.grants.has_sink(&sink) {
            let sink: String = said::cleaned(sink).chars().take(64).collect();
            let text = format!("sink `{sink}` is not granted to this plugin");
            return Err(OutboxError::UnknownSink(text));
        }
        if key.is_empty() || key.len() > KEY_BYTES || key.contains(char::is_control) {
            let text = format!("a key has 1 to {KEY_BYTES} bytes and no control characters");
            return Err(OutboxError::Invalid(text));
        }
        let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let is_type = !content_type.trim().is_empty() && content_type.bytes().all(is_visible);
        if !is_type || content_type.len() > CONTENT_TYPE_BYTES {
            let text =
                format!("a content type has 1 to {CONTENT_TYPE_BYTES} visible characters of ASCII");
            return Err(OutboxError::Invalid(text));
        }
        let Limits { outbox_messages, outbox_bytes, outbox_message_bytes, .. } = *self.limits;
        quota("outbox_message_bytes", body.len(), outbox_message_bytes)?;
        let id = (sink, key);
        if self.keys.contains(&id) {
            return Ok(());
        }
        quota("outbox_messages", self.messages.len() + 1, outbox_messages)?;
        let cost = id.0.len() + id.1.len() + content_type.len() + body.len() + ENTRY_BYTES;
        quota("outbox_bytes", self.bytes + cost, outbox_bytes)?;
        self.bytes += cost;
        self.keys.insert(id.clone());
        let (sink, key) = id;
        self.messages.push(Message { sink, key, content_type, body });
        Ok(())
    }
}

fn quota(limit: &str, wanted: usize, allowed: usize) -> Result<(), OutboxError> {
    if wanted > allowed {
        let text = format!("limit `{limit}` of {allowed} exceeded: {wanted}");
        return Err(OutboxError::Quota(text));
    }
    Ok(())
}

impl Host for Call {
    fn enqueue(&mut self, message: Wire) -> Result<(), OutboxError> {
        self.outbox.enqueue(message)
    }

    fn is_granted(&mut self, sink: String) -> bool {
        self.outbox.grants.has_sink(&sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sink: &str, key: &str, body: usize) -> Wire {
        let content_type = "application/json".to_owned();
        Wire { sink: sink.to_owned(), key: key.to_owned(), content_type, body: vec![b'x'; body] }
    }

    fn staged(limits: Limits) -> Staged {
        Staged::new(&Arc::new(limits), Arc::new(Grants::sinks(["ops".to_owned()])))
    }

    fn refusal(result: Result<(), OutboxError>) -> String {
        match result {
            Ok(()) => "taken".to_owned(),
            Err(
                OutboxError::UnknownSink(text)
                | OutboxError::Invalid(text)
                | OutboxError::Quota(text),
            ) => text,
        }
    }

    #[test]
    fn a_message_goes_to_a_granted_sink_only_and_a_key_counts_once() {
        let mut staged = staged(Limits::default());
        assert_eq!(refusal(staged.enqueue(message("ops", "a", 3))), "taken");
        assert_eq!(refusal(staged.enqueue(message("ops", "a", 4))), "taken");
        assert!(refusal(staged.enqueue(message("other", "a", 3))).contains("sink `other`"));
        assert!(refusal(staged.enqueue(message("ops", "", 3))).contains("a key has"));
        assert!(refusal(staged.enqueue(message("ops", "a\nb", 3))).contains("control"));
        let typed = Wire { content_type: "a\r\nX-Evil: 1".to_owned(), ..message("ops", "b", 1) };
        assert!(refusal(staged.enqueue(typed)).contains("content type"));
        let messages = staged.take_messages();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].body.len(), 3);
    }

    #[test]
    fn a_limit_on_messages_is_named_with_its_value() {
        let limits = Limits { outbox_messages: 2, outbox_message_bytes: 10, ..Limits::default() };
        let mut few = staged(limits);
        assert_eq!(
            refusal(few.enqueue(message("ops", "a", 11))),
            "limit `outbox_message_bytes` of 10 exceeded: 11"
        );
        assert_eq!(refusal(few.enqueue(message("ops", "a", 1))), "taken");
        assert_eq!(refusal(few.enqueue(message("ops", "b", 1))), "taken");
        assert_eq!(
            refusal(few.enqueue(message("ops", "c", 1))),
            "limit `outbox_messages` of 2 exceeded: 3"
        );
        let mut small = staged(Limits { outbox_bytes: 200, ..Limits::default() });
        assert!(refusal(small.enqueue(message("ops", "a", 199))).contains("`outbox_bytes` of 200"));
    }
}
