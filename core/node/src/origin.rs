//! Whose fault it is: turns what is no answer into a fault that names the node and no secret.
//!
//! Knows nothing of how the bytes came; a status and a wait are there where the transport has them.

use crate::{
    classify::{self, ErrorReply},
    secret::Secrets,
    wire::envelope::{self, NoAnswer, RpcError},
};
use event::{Fault, FaultClass, NodeId};

/// A body and what the transport said beside it.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// HTTP status; sockets have none.
    pub(crate) status: Option<u16>,
    /// `Retry-After`, where there is one.
    pub(crate) retry_after_ms: Option<u64>,
    /// JSON, if all is well.
    pub(crate) body: Vec<u8>,
}

/// A node as its faults show it.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) id: NodeId,
    pub(crate) secrets: Secrets,
}

impl Origin {
    /// Turns a body that holds no answer into a fault.
    pub(crate) fn refusal(
        &self,
        method: &'static str,
        reply: &Reply,
        no_answer: NoAnswer,
        is_splittable: bool,
    ) -> Fault {
        match no_answer {
            NoAnswer::Error(error) => self.error_object(method, reply, &error, is_splittable),
            NoAnswer::Null => match reply.status.and_then(classify::by_status) {
                Some(class) => self.with_wait(method, reply, class, "null"),
                None => self.fault(method, FaultClass::Unknown, "null: unknown to this node"),
            },
            NoAnswer::Malformed(text) => self.not_json_rpc(method, reply, &text),
        }
    }

    fn error_object(
        &self,
        method: &'static str,
        reply: &Reply,
        error: &RpcError,
        is_splittable: bool,
    ) -> Fault {
        let known = classify::known(&ErrorReply {
            http_status: reply.status,
            code: error.code,
            message: &error.message,
            data: &error.data,
        });
        let mut text = error.message.clone();
        if !error.data.is_empty() {
            text.push_str(" (");
            text.push_str(&error.data);
            text.push(')');
        }
        if let Some(code) = error.code {
            text.push_str(&format!(" [{code}]"));
        }
        // A text that no rule knows, over many blocks, is more often a limit than an outage, and
        // halving ends at one block.
        let class = known.unwrap_or_else(|| {
            tracing::debug!(node = %self.id, method, text = self.secrets.clean(&text), "unknown error text");
            if is_splittable { FaultClass::Split } else { FaultClass::Busy }
        });
        self.with_wait(method, reply, class, &text)
    }

    /// A body that is no JSON-RPC: a gateway's page or text, or a broken answer.
    fn not_json_rpc(&self, method: &'static str, reply: &Reply, problem: &str) -> Fault {
        let is_json = matches!(envelope::first_byte(&reply.body), Some(b'{' | b'['));
        let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(16 * 1024)]);
        let by_status = || reply.status.and_then(classify::by_status);
        let class = match envelope::first_byte(&reply.body) {
            _ if is_json => by_status(),
            // Pages are full of numbers and words that would match the rules by chance.
            Some(b'<') if is_rate_page(&body) => Some(FaultClass::Rate { retry_after_ms: None }),
            Some(b'<') | None => by_status(),
            Some(_) => classify::known(&ErrorReply {
                http_status: reply.status,
                code: None,
                message: &body,
                data: "",
            }),
        };
        let what = match (is_json, envelope::first_byte(&reply.body)) {
            (true, _) => problem.to_owned(),
            (false, None) => "an empty body".to_owned(),
            // Cut when it is clean: a cut through a key would hide what is left of it.
            (false, _) => format!("not JSON: {}", excerpt(&self.secrets.clean(&body))),
        };
        let text = match reply.status {
            Some(status) => format!("HTTP {status}: {what}"),
            None => what,
        };
        self.with_wait(method, reply, class.unwrap_or(FaultClass::Malformed), &text)
    }

    /// An answer under an HTTP error status is not believed.
    pub(crate) fn check_status(&self, method: &'static str, reply: &Reply) -> Result<(), Fault> {
        let Some(status) = reply.status.filter(|status| !(200..300).contains(status)) else {
            return Ok(());
        };
        let class = classify::by_status(status).unwrap_or(FaultClass::Malformed);
        let text = format!("a result under HTTP {status}");
        Err(self.with_wait(method, reply, class, &text))
    }

    fn with_wait(
        &self,
        method: &'static str,
        reply: &Reply,
        class: FaultClass,
        text: &str,
    ) -> Fault {
        let class = match class {
            FaultClass::Rate { retry_after_ms: None } => {
                FaultClass::Rate { retry_after_ms: reply.retry_after_ms }
            }
            other => other,
        };
        self.fault(method, class, text)
    }

    pub(crate) fn malformed(&self, method: &'static str, text: &str) -> Fault {
        self.fault(method, FaultClass::Malformed, text)
    }

    pub(crate) fn fault(&self, method: &str, class: FaultClass, text: &str) -> Fault {
        let text = self.secrets.clean(text);
        Fault { node: self.id.clone(), method: method.to_owned(), class, text }
    }
}

/// Cloudflare's "you are being rate limited" comes as a page under HTTP 200 or 403.
fn is_rate_page(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    body.contains("error code: 1015") || body.contains("rate limited")
}

/// Returns the beginning of a body, enough to recognise a page by.
fn excerpt(body: &str) -> String {
    const EXCERPT_BYTES: usize = 200;
    body[..body.floor_char_boundary(EXCERPT_BYTES)].to_owned()
}

/// Joins an error and its causes, each said once.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
