//! Logs as lines of text, so that what a node says and what a ledger holds compare with `==`.

use crate::Program;
use serde_json::Value;
use std::path::Path;

/// Returns one line for a log as a node has it, in the words of [`stored_lines`].
pub fn line_of(log: &Value) -> String {
    let text = |key: &str| log[key].as_str().expect("a log has this field").to_lowercase();
    let number = |key: &str| u64::from_str_radix(&text(key)[2..], 16).expect("a quantity");
    let topics = log["topics"].as_array().expect("a log has topics");
    let topics: Vec<&str> = topics.iter().filter_map(Value::as_str).collect();
    format!(
        "{} {} {} {} {} {} [{}] {}",
        number("blockNumber"),
        text("blockHash"),
        text("transactionHash"),
        number("transactionIndex"),
        number("logIndex"),
        text("address"),
        topics.join(" "),
        text("data"),
    )
}

/// Returns one line for each stored event that is canonical, in order.
pub fn stored_lines(program: &Program, ledger: &Path) -> Vec<String> {
    let sql = "select concat_ws(' ', block_number, hex0x(block_hash), hex0x(tx_hash), tx_index,
            log_index, hex0x(address),
            '[' || concat_ws(' ', hex0x(topic0), hex0x(topic1), hex0x(topic2), hex0x(topic3)) || ']',
            hex0x(data)) as line
        from events_canonical order by block_number, log_index";
    let rows = program.query(ledger, sql);
    rows.iter().map(|row| row["line"].as_str().expect("a line is text").to_owned()).collect()
}
