//! What a recorder wrote is what the recording answers: nothing else, and nothing less.

use alloy_primitives::{Address, B256, Bytes};
use event::{
    Answer, AnswerFuture, AnyOf, Ask, BlockAnswer, BlockNumHash, BlockRange, ChainId, Fault,
    FaultClass, Filter, Head, Header, Log, Logs, LogsAnswer, Node, NodeId, Outcome, Receipt, Tag,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use headcount_node::{OpenOptions, Recorder, Recording, RecordingError, open};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Three logs in every even block, none in odd ones.
struct Chain(NodeId);

fn hash(number: u64) -> B256 {
    B256::with_last_byte(number as u8)
}

fn at(number: u64) -> BlockNumHash {
    BlockNumHash { number, hash: hash(number) }
}

fn receipts(number: u64) -> Vec<Receipt> {
    let count = if number.is_multiple_of(2) { 3 } else { 0 };
    let logs = (0..count).map(|i| Log {
        address: Address::with_last_byte(i),
        topics: vec![B256::repeat_byte(i), hash(number)],
        data: Bytes::from(vec![i; usize::from(i)]),
        log_index: i.into(),
        tx_index: 0,
        tx_hash: B256::repeat_byte(9),
        block_number: number,
        block_hash: hash(number),
        removed: false,
    });
    vec![Receipt {
        tx_type: 2,
        tx_hash: B256::repeat_byte(9),
        tx_index: 0,
        block_hash: hash(number),
        block_number: number,
        outcome: Outcome::Status(true),
        cumulative_gas_used: 21_000,
        logs: logs.collect(),
        deposit_nonce: None,
        deposit_receipt_version: Some(1),
    }]
}

fn logs(filter: &Filter, range: BlockRange) -> LogsAnswer {
    let mut logs = Logs::default();
    let mut blocks: Vec<(u64, B256, Option<u64>)> = Vec::new();
    for number in range.first()..=range.last() {
        for log in &receipts(number)[0].logs {
            if filter.matches(log.into()) {
                if blocks.last().is_none_or(|(last, ..)| *last != number) {
                    blocks.push((number, hash(number), Some(1_000 + number)));
                }
                logs.push_log(blocks.len() as u32 - 1, log);
            }
        }
    }
    LogsAnswer { bytes: 600 * logs.len() as u64, blocks, logs, removed: 0 }
}

fn block(number: u64) -> BlockAnswer {
    let header = Header { number, base_fee_per_gas: Some(7), ..Header::default() };
    BlockAnswer {
        hash: hash(number),
        header: Box::new(header),
        transactions: vec![B256::repeat_byte(9)],
    }
}

impl Node for Chain {
    fn id(&self) -> &NodeId {
        &self.0
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        Box::pin(async move {
            Ok(match ask {
                Ask::ChainId => Answer::ChainId(ChainId(5)),
                Ask::ClientVersion => Answer::ClientVersion("Chain/v1".to_owned()),
                Ask::Head(Tag::Latest) => Answer::Head(Head { block: at(99), timestamp: 3 }),
                Ask::Logs { filter, range } => Answer::Logs(logs(&filter, range)),
                Ask::LogsByHash { filter, block } => {
                    Answer::Logs(logs(&filter, BlockRange::one(block.number)))
                }
                Ask::Headers { range } => {
                    Answer::Headers((range.first()..=range.last()).map(block).collect())
                }
                Ask::Receipts { block } => Answer::Receipts(receipts(block.number)),
                Ask::ReceiptsOf { blocks } => {
                    let told = blocks.iter().map(|block| Ok(receipts(block.number)));
                    Answer::ReceiptsOf(told.collect())
                }
                Ask::Syncing => Answer::Syncing(false),
                Ask::PeerCount => Answer::PeerCount(3),
                Ask::Code { address, .. } => Answer::Bytes(Bytes::copy_from_slice(&address[..3])),
                Ask::Call { data, .. } => Answer::Bytes(data),
                Ask::Head(_) | Ask::HeaderByHash { .. } => {
                    return Err(Fault {
                        node: self.0.clone(),
                        method: "m".to_owned(),
                        class: FaultClass::Busy,
                        text: "busy".to_owned(),
                    });
                }
            })
        })
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

fn range(first: u64, last: u64) -> BlockRange {
    BlockRange::new(first, last).unwrap()
}

fn ask_logs(filter: &Filter, first: u64, last: u64) -> Ask {
    Ask::Logs { filter: Arc::new(filter.clone()), range: range(first, last) }
}

fn by_hash(filter: &Filter, block: BlockNumHash) -> Ask {
    Ask::LogsByHash { filter: Arc::new(filter.clone()), block }
}

fn narrow() -> Filter {
    let topic0 = AnyOf::of([B256::repeat_byte(1), B256::repeat_byte(2)]).unwrap();
    Filter::new(AnyOf::one(Address::with_last_byte(1)), topic0)
}

async fn record(path: &Path, asks: &[Ask]) {
    let recorder = Recorder::create(Chain(NodeId::new("chain")), path).await.unwrap();
    for ask in asks {
        let _fault_is_not_recorded = recorder.ask(ask.clone()).await;
    }
    let summary = recorder.finish().unwrap();
    assert_eq!(summary.path, path);
    assert!(matches!(recorder.finish(), Err(RecordingError::Finished { .. })));
}

async fn recording(asks: &[Ask]) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.ndjson.gz");
    record(&path, asks).await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    Recording::open(&path).unwrap()
}

async fn class(recording: &Recording, ask: Ask) -> FaultClass {
    recording.ask(ask).await.unwrap_err().class
}

#[tokio::test]
async fn a_recording_gives_back_what_was_asked_while_recording() {
    let asks = [
        Ask::ChainId,
        Ask::ClientVersion,
        Ask::Head(Tag::Latest),
        ask_logs(&Filter::any(), 1, 10),
        by_hash(&narrow(), at(20)),
        Ask::Headers { range: range(1, 10) },
        Ask::Receipts { block: at(4) },
        Ask::Code { address: Address::repeat_byte(7), block: at(4) },
        Ask::Call { to: Address::repeat_byte(7), data: Bytes::from_static(&[1, 2]), block: at(4) },
    ];
    let recording = recording(&asks).await;
    let chain = Chain(NodeId::new("chain"));
    assert_eq!(recording.id(), chain.id());
    for ask in asks {
        assert_eq!(recording.ask(ask.clone()).await, chain.ask(ask).await);
    }
    let header = Ask::HeaderByHash { hash: hash(3) };
    assert_eq!(recording.ask(header).await, Ok(Answer::Headers(vec![block(3)])));
    assert_eq!(recording.calls()["eth_getBlockByNumber"], 11);
    for other in [at(5), BlockNumHash { number: 4, hash: hash(9) }] {
        let code = Ask::Code { address: Address::repeat_byte(7), block: other };
        assert_eq!(class(&recording, code).await, FaultClass::NotRecorded);
    }
}

#[tokio::test]
async fn sub_ranges_unions_and_narrower_filters_are_cut_from_wider_answers() {
    let any = Filter::any();
    let recorded = [ask_logs(&any, 1, 10), ask_logs(&narrow(), 8, 30), ask_logs(&any, 11, 20)];
    let recording = recording(&recorded).await;
    for (filter, first, last) in
        [(&any, 2, 7), (&any, 5, 15), (&any, 1, 20), (&narrow(), 3, 25), (&narrow(), 2, 2)]
    {
        let Answer::Logs(found) = recording.ask(ask_logs(filter, first, last)).await.unwrap()
        else {
            panic!("logs")
        };
        let expected = logs(filter, range(first, last));
        assert_eq!((found.logs, found.blocks), (expected.logs, expected.blocks), "{first}:{last}");
    }
}

#[tokio::test]
async fn what_is_not_recorded_is_unknown_and_never_empty() {
    let recorded = [
        ask_logs(&narrow(), 1, 10),
        ask_logs(&narrow(), 12, 20),
        Ask::Headers { range: range(1, 5) },
    ];
    let recording = recording(&recorded).await;
    let mut other_topic = narrow();
    other_topic.topics[0] = AnyOf::Any;
    for ask in [
        ask_logs(&Filter::any(), 1, 10),
        ask_logs(&other_topic, 1, 10),
        ask_logs(&narrow(), 0, 5),
        ask_logs(&narrow(), 1, 20),
        ask_logs(&narrow(), 20, u64::MAX),
        by_hash(&narrow(), BlockNumHash { number: 2, hash: B256::repeat_byte(1) }),
        by_hash(&narrow(), at(7)),
        Ask::Headers { range: range(1, 6) },
        Ask::Headers { range: range(1, u64::MAX) },
        Ask::HeaderByHash { hash: hash(6) },
        Ask::Receipts { block: at(2) },
        Ask::Head(Tag::Finalized),
        Ask::Head(Tag::Latest),
    ] {
        assert_eq!(class(&recording, ask.clone()).await, FaultClass::NotRecorded, "{ask:?}");
    }
}

#[tokio::test]
async fn logs_by_hash_come_from_receipts_or_from_a_range_that_shows_the_block() {
    let recorded = [
        Ask::Receipts { block: at(40) },
        ask_logs(&Filter::any(), 1, 10),
        Ask::Headers { range: range(3, 3) },
    ];
    let recording = recording(&recorded).await;
    for (number, filter) in [(40, narrow()), (40, Filter::any()), (4, narrow())] {
        let Answer::Logs(found) = recording.ask(by_hash(&filter, at(number))).await.unwrap() else {
            panic!("logs")
        };
        assert_eq!(found.logs, logs(&filter, range(number, number)).logs);
        assert!(!found.logs.is_empty());
    }
    // Block 3 has no logs: its header shows that the range answer was about this very block.
    let Answer::Logs(none) = recording.ask(by_hash(&narrow(), at(3))).await.unwrap() else {
        panic!("logs")
    };
    assert!(none.logs.is_empty());
    assert_eq!(class(&recording, by_hash(&narrow(), at(5))).await, FaultClass::NotRecorded);
}

#[tokio::test]
async fn a_fact_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let (once, twice) = (dir.path().join("once"), dir.path().join("twice"));
    let asks = [Ask::Headers { range: range(1, 3) }, ask_logs(&narrow(), 1, 9)];
    record(&once, &asks).await;
    record(&twice, &[asks.clone(), asks].concat()).await;
    assert_eq!(std::fs::read(once).unwrap(), std::fs::read(twice).unwrap());
}

fn whole(dir: &Path) -> PathBuf {
    dir.join("whole.gz")
}

async fn write_whole(dir: &Path) -> String {
    record(&whole(dir), &[Ask::Headers { range: range(1, 50) }, ask_logs(&Filter::any(), 1, 50)])
        .await;
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(whole(dir)).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn rewritten(dir: &Path, text: &str) -> Result<Recording, RecordingError> {
    let path = dir.join("rewritten.gz");
    let mut file = GzEncoder::new(std::fs::File::create(&path).unwrap(), Compression::fast());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap();
    Recording::open(path)
}

#[tokio::test]
async fn a_cut_or_damaged_file_is_refused_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    write_whole(dir.path()).await;
    let bytes = std::fs::read(whole(dir.path())).unwrap();
    let path = dir.path().join("cut.gz");
    for length in [0, 5, 20, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = Recording::open(&path).unwrap_err();
        assert!(matches!(error, RecordingError::Truncated { .. }), "{length}: {error}");
    }
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    std::fs::write(&path, &flipped).unwrap();
    assert!(Recording::open(&path).is_err());
    std::fs::write(&path, b"not gzip at all, and long enough to have a header").unwrap();
    let Err(error) = open(path.to_str().unwrap(), OpenOptions::default()) else { panic!("opened") };
    assert!(error.to_string().contains("not a recording"), "{error}");
    assert!(error.hint().is_some());
    let missing = Recording::open(dir.path().join("missing")).unwrap_err();
    assert!(matches!(missing, RecordingError::Io { .. }));
}

#[tokio::test]
async fn one_changed_byte_or_a_missing_line_is_found_by_the_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = write_whole(dir.path()).await;
    assert!(rewritten(dir.path(), &text).is_ok());
    let changed = text.replacen("\"gasLimit\":0", "\"gasLimit\":1", 1);
    assert_ne!(changed, text);
    let error = rewritten(dir.path(), &changed).unwrap_err();
    assert!(matches!(error, RecordingError::Changed { what: "digest", .. }), "{error}");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(3);
    let error = rewritten(dir.path(), &format!("{}\n", lines.join("\n"))).unwrap_err();
    assert!(matches!(error, RecordingError::Changed { what: "number of lines", .. }), "{error}");
    let error = rewritten(dir.path(), &format!("{text}{{}}\n")).unwrap_err();
    assert!(matches!(error, RecordingError::Changed { what: "end", .. }), "{error}");
    let (all_but_end, _) = text.trim_end().rsplit_once('\n').unwrap();
    let error = rewritten(dir.path(), &format!("{all_but_end}\n")).unwrap_err();
    assert!(matches!(error, RecordingError::Truncated { .. }), "{error}");
    for junk in [&b"x"[..], b"not a second member of a gzip file", &[0; 64]] {
        let path = dir.path().join("junk.gz");
        std::fs::copy(whole(dir.path()), &path).unwrap();
        assert!(Recording::open(&path).is_ok());
        std::io::Write::write_all(
            &mut std::fs::File::options().append(true).open(&path).unwrap(),
            junk,
        )
        .unwrap();
        assert!(Recording::open(&path).is_err(), "{junk:?}");
    }
    let newer = text.replacen("\"headcount_recording\":1", "\"headcount_recording\":2", 1);
    assert!(matches!(rewritten(dir.path(), &newer), Err(RecordingError::Version { found: 2, .. })));
}

#[tokio::test]
async fn a_recorder_that_does_not_finish_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.gz");
    let recorder = Recorder::create(Chain(NodeId::new("chain")), &path).await.unwrap();
    recorder.ask(Ask::Headers { range: range(1, 3) }).await.unwrap();
    drop(recorder);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_recorder_works_behind_a_shared_node() {
    let dir = tempfile::tempdir().unwrap();
    let shared: Arc<dyn Node> = Arc::new(Chain(NodeId::new("shared")));
    let path = dir.path().join("r.gz");
    let recorder = Arc::new(Recorder::create(shared, &path).await.unwrap());
    let node: Arc<dyn Node> = recorder.clone();
    node.ask(Ask::ReceiptsOf { blocks: vec![at(4), at(5)] }).await.unwrap();
    recorder.finish().unwrap();
    let opened = open(path.to_str().unwrap(), OpenOptions::default()).unwrap();
    assert_eq!(opened.id().to_string(), "shared");
    let answer = opened.ask(Ask::Receipts { block: at(4) }).await;
    assert_eq!(answer, Ok(Answer::Receipts(receipts(4))));
    let answer = opened.ask(Ask::ReceiptsOf { blocks: vec![at(5), at(6)] }).await;
    let Ok(Answer::ReceiptsOf(told)) = answer else { panic!("receipts") };
    assert_eq!(told[0], Ok(receipts(5)));
    assert!(told[1].is_err(), "not recorded is not empty");
}
