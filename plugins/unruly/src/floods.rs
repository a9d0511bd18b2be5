//! Misdeeds that ask the host for more than anybody needs.

use crate::lies;
use headcount_plugin_sdk::{
    Batch, Failure,
    bindings::headcount::plugin::{log, output, state},
};

/// Does it, where `misdeed` is one of these. What the host refuses is the reason.
pub(crate) fn commit(misdeed: &str, batch: &Batch) -> Result<(), Failure> {
    let seq = batch.seq[0];
    match misdeed {
        // 1 GB, in pieces that each are small enough.
        "rows" => {
            let word = "x".repeat(1 << 20);
            for _ in 0..1_024 {
                lies::emit(vec![seq], &[&word])?;
            }
        }
        "row by row" => {
            for _ in 0..100_000 {
                lies::emit(vec![seq], &[""])?;
            }
        }
        "rows at once" => lies::emit(vec![seq; 200_000], &vec![""; 200_000])?,
        "lines" => {
            let line = "x".repeat(1 << 20);
            for _ in 0..1_024 {
                log::log(log::Level::Info, &line, &[]);
            }
        }
        "fields" => {
            let fields = vec![(String::new(), String::new()); 300_000];
            for _ in 0..10 {
                log::log(log::Level::Info, "", &fields);
            }
        }
        "metrics" => {
            for number in 0..1_000 {
                log::count(&format!("{}{number}", "m".repeat(1 << 16)), 1);
                log::count(&format!("m{number}"), u64::MAX);
            }
        }
        // Calls without end, each of them allowed.
        "storm" => loop {
            let _ = state::get(b"k");
            log::count("calls", 1);
            let _ = state::scan(b"", None, 10);
            let _ = output::emit("facts", &[], &lies::columns(&[]));
        },
        // A value that is asked for again and again in one call.
        "hoard" => {
            let _ = state::set(b"k", &vec![1; 1 << 20]);
            let _ = state::get_many(&vec![b"k".to_vec(); 100_000]);
        }
        "hoard by scan" => {
            for key in 0..60_u8 {
                let _ = state::set(&[key], &vec![1; 1 << 20]);
            }
            let _ = state::scan(b"", None, 1_000);
        }
        "deletes" => {
            for key in 0..200_000_u32 {
                state::delete(&[&key.to_be_bytes()[..], &[0; 1_000]].concat());
            }
        }
        "writes" => {
            for key in 0..u64::MAX {
                let written = state::set(&key.to_be_bytes(), b"");
                written.map_err(|state::StateError::Quota(limit)| Failure::Reject(limit))?;
            }
        }
        "too much at once" => {
            log::log(log::Level::Info, &"x".repeat(40 << 20), &[]);
        }
        _ => {}
    }
    Ok(())
}
