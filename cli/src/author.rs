//! The author's side of plugins: the folder a new one begins with, building it, and what a run of one
//! says. Loads no component and reads no ledger: `session` does.

mod cargo;
mod check_report;
mod dead_report;
mod golden;
mod list_report;
mod rows;
mod template;

pub(crate) use self::{
    cargo::build,
    check_report::{CheckReport, LimitShare, Outcome},
    dead_report::{DeadEvent, DeadMessage, DeadReport},
    golden::Golden,
    list_report::{LaneLine, ListReport, SinkLine},
    rows::{Line, lines},
    template::{check_crate_name, write_folder},
};
