//! What goes wrong at nodes: named troubles, rules that say when, and answers that are exactly what
//! such a node would send. The numbers (F1, F2, …) are those of `docs/faults.md`.

mod forge;
mod heads;
mod hints;
mod logs;
mod personas;
mod refuse;
mod rule;
mod swarm;
mod trouble;

pub use personas::{
    Persona, blind_to_addresses, forger, honest, load_balanced, loses_everything, loses_ranges,
    loses_some, pruned,
};
pub use rule::{Blocks, Methods, Rule, When};
pub use swarm::{Harm, swarm};
pub use trouble::Trouble;

pub(crate) use {
    heads::{tamper_head, tamper_headers, tamper_receipts, tamper_view},
    hints::announcements,
    logs::{Part, answer_of, tamper_logs},
    refuse::{delay_ms, fault, method_of, refusal},
    rule::{Active, Question, ask_key},
};
