//! Counts events well, but for a block that it cannot take: `count`, `count but panic at N` or `count but loop
//! at N`; or each batch only when it comes again: `count but retry`. What it writes of an event depends on all
//! before it, so that one that is handled out of its turn shows.

use headcount_plugin_sdk::{
    Batch, Failure, Host, Rejection, RetryHint, Rows,
    bindings::headcount::plugin::output::ColumnData, events,
};

pub(crate) fn commit(
    misdeed: &str,
    host: &mut dyn Host,
    batch: &Batch,
) -> Result<Vec<Rejection>, Failure> {
    let bad: Option<u64> = misdeed.rsplit(' ').next().and_then(|word| word.parse().ok());
    if let Some(block) = batch.blocks.iter().find(|block| Some(block.number) == bad) {
        assert!(misdeed.contains("loop"), "block {} is too much", block.number);
        loop {
            std::hint::black_box(());
        }
    }
    if misdeed.contains("retry") && batch.attempt == 1 {
        return Err(Failure::Retry(RetryHint { after_ms: 50, reason: "not yet".to_owned() }));
    }
    let before = host.get_many(&[vec![0]]).pop().flatten();
    let mut count = before.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
    let (mut seqs, mut words, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for event in events(batch) {
        count += 1;
        let block = &batch.blocks[batch.block[event.row] as usize];
        seqs.push(event.seq);
        words.push(format!("{} {}", block.number, batch.log_index[event.row]));
        numbers.push(count.to_string());
    }
    let len = seqs.len();
    let rows = Rows::new("facts", seqs).text("word", words).text("number", numbers);
    let rows = rows.column("at", ColumnData::Signed(vec![0; len]));
    host.emit(rows.column("raw", ColumnData::Bytes((vec![0; len + 1], Vec::new()))))?;
    host.set_many(&[(vec![0], count.to_be_bytes().to_vec())])?;
    Ok(Vec::new())
}
