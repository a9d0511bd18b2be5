//! A backfill against a scripted node: what it asks, doubts, splits and gives up.

use crate::common::{Blooms, block, fault, hash, header, logs_answer, receipt};
use alloy_primitives::Address;
use event::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tracker::{Action, Backfill, BackfillConfig, NodeStatus, Surrender};

const CHAIN: ChainId = ChainId(1);

/// What a test makes of a question instead of the honest answer.
type Bend = Box<dyn FnMut(&Ask) -> Option<Result<Answer, FaultClass>>>;

/// A chain with one log in each of `with_logs`, and a node whose answers a test may bend.
struct Script {
    with_logs: BTreeSet<u64>,
    bend: Bend,
    asked: Vec<Ask>,
}

impl Script {
    fn honest(with_logs: impl IntoIterator<Item = u64>) -> Self {
        Self { with_logs: with_logs.into_iter().collect(), bend: Box::new(|_| None), asked: vec![] }
    }

    fn bent(
        with_logs: impl IntoIterator<Item = u64>,
        bend: impl FnMut(&Ask) -> Option<Result<Answer, FaultClass>> + 'static,
    ) -> Self {
        Self { bend: Box::new(bend), ..Self::honest(with_logs) }
    }

    fn logs(&self, numbers: impl IntoIterator<Item = u64>) -> LogsAnswer {
        logs_answer(numbers.into_iter().map(named))
    }

    fn answer(&mut self, ask: &Ask) -> Result<Answer, Fault> {
        self.asked.push(ask.clone());
        let bent = (self.bend)(ask);
        bent.unwrap_or_else(|| Ok(self.honest_answer(ask))).map_err(fault)
    }

    fn receipts(&self, block: &BlockNumHash) -> Vec<Receipt> {
        let logged = self.with_logs.get(&block.number);
        logged.map(|number| receipt(named(*number))).into_iter().collect()
    }

    fn honest_answer(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::Logs { range, .. } => {
                Answer::Logs(self.logs(self.with_logs.range(range.first()..=range.last()).copied()))
            }
            Ask::LogsByHash { block, .. } => {
                Answer::Logs(self.logs(self.with_logs.get(&block.number).copied()))
            }
            Ask::Headers { range } => {
                Answer::Headers((range.first()..=range.last()).map(header_at).collect())
            }
            Ask::Receipts { block } => Answer::Receipts(self.receipts(block)),
            Ask::ReceiptsOf { blocks } => {
                Answer::ReceiptsOf(blocks.iter().map(|block| Ok(self.receipts(block))).collect())
            }
            Ask::ChainId => Answer::ChainId(CHAIN),
            _ => unreachable!("a backfill does not ask {ask:?}"),
        }
    }
}

fn named(number: u64) -> BlockNumHash {
    block(number, hash(number))
}

fn header_at(number: u64) -> BlockAnswer {
    header(named(number), number.checked_sub(1).map(hash).unwrap_or_default())
}

#[derive(Debug, Default)]
struct Run {
    reports: Vec<Report>,
    surrendered: Vec<Surrender>,
    asked: Vec<Ask>,
    ended_ms: u64,
}

impl Run {
    fn log_blocks(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self
            .reports
            .iter()
            .flat_map(|r| r.logs.block.iter().map(|b| r.blocks[*b as usize].number))
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn covered(&self) -> Vec<BlockRange> {
        let mut ranges: Vec<BlockRange> = self.reports.iter().map(|r| r.range).collect();
        ranges.sort_unstable();
        ranges
    }

    fn flaws(&self) -> Vec<Flaw> {
        let judged = self.reports.iter().filter_map(|report| report.judged.as_ref());
        judged.flat_map(|judgement| judgement.flaws.iter().map(|flaw| flaw.1)).collect()
    }
}

fn admitting(script: &Script) -> BTreeSet<alloy_primitives::B256> {
    script.with_logs.iter().copied().map(hash).collect()
}

/// Steps a backfill to its end. More than 50,000 steps are a spin.
fn run(script: Script, verify: Verify, range: BlockRange, finalized: u64) -> Run {
    let blooms = Arc::new(Blooms { admitting: admitting(&script), doubted: None });
    run_with(script, verify, range, finalized, blooms)
}

/// The same over blocks 1 to 100, by a prover that doubts one block until it was asked by hash.
fn run_doubting(script: Script, block: u64) -> Run {
    let blooms = Arc::new(Blooms { admitting: admitting(&script), doubted: Some(block) });
    run_with(script, Verify::Bloom, range(1, 100), 10_000, blooms)
}

fn backfill(
    verify: Verify,
    range: BlockRange,
    finalized: u64,
    blooms: Arc<Blooms>,
    concurrency: usize,
) -> Backfill {
    let status = NodeStatus {
        node: NodeId::new("scripted"),
        client: None,
        head: BlockNumHash { number: 1_000_000, hash: hash(1_000_000) },
        finalized: Some(finalized),
    };
    let config = BackfillConfig {
        status,
        verify,
        profile: ChainProfile::ethereum(CHAIN),
        concurrency,
        width_max: None,
        keeps_chain: false,
        reporter: "test".into(),
    };
    let filter = Filter::new(
        AnyOf::of([Address::repeat_byte(1), Address::repeat_byte(2)]).unwrap(),
        AnyOf::Any,
    );
    Backfill::new(config, blooms, [(Arc::new(filter), range)])
}

fn run_with(
    mut script: Script,
    verify: Verify,
    range: BlockRange,
    finalized: u64,
    blooms: Arc<Blooms>,
) -> Run {
    let mut backfill = backfill(verify, range, finalized, blooms, 3);
    let mut run = Run::default();
    let mut waiting = BTreeMap::new();
    for _ in 0..50_000 {
        match backfill.next(run.ended_ms) {
            Action::Ask(ticket, ask) => {
                waiting.insert(ticket, ask);
            }
            Action::Submit(report) => run.reports.push(*report),
            Action::Surrender(surrender) => run.surrendered.push(surrender),
            Action::Done => {
                run.asked = script.asked;
                return run;
            }
            wait @ (Action::WaitUntil(_) | Action::WaitForAnswer) => {
                // The newest call is answered first: answers come in any order.
                match (waiting.pop_last(), wait) {
                    (Some((ticket, ask)), _) => {
                        let answer = script.answer(&ask);
                        backfill.on_answer(ticket, answer, run.ended_ms);
                    }
                    (None, Action::WaitUntil(at_ms)) => run.ended_ms = at_ms,
                    (None, _) => panic!("waits for an answer to nothing"),
                }
            }
        }
    }
    panic!("spins");
}

fn range(first: u64, last: u64) -> BlockRange {
    BlockRange::new(first, last).unwrap()
}

fn contiguous(ranges: &[BlockRange], whole: BlockRange) -> bool {
    let ends_meet = ranges.windows(2).all(|pair| pair[0].last() + 1 == pair[1].first());
    ends_meet
        && ranges.first().is_some_and(|first| first.first() == whole.first())
        && ranges.last().is_some_and(|last| last.last() == whole.last())
}

#[test]
fn an_honest_node_is_read_once_and_whole() {
    let whole = range(10, 4_000);
    for verify in [Verify::Off, Verify::Bloom, Verify::Prove] {
        let run = run(Script::honest([10, 17, 999, 4_000]), verify, whole, 10_000);
        assert_eq!(run.log_blocks(), [10, 17, 999, 4_000]);
        assert!(contiguous(&run.covered(), whole), "{:?}", run.covered());
        assert!(run.surrendered.is_empty());
        let receipts: usize = run.asked.iter().map(receipts_asked).sum();
        assert_eq!(receipts, if verify == Verify::Prove { 4 } else { 0 });
    }
}

/// Answers `answers` questions, oldest first, and stops; returns what is reported all the same.
fn stopped_after(answers: usize, mut script: Script, verify: Verify) -> Vec<Report> {
    let blooms = Arc::new(Blooms { admitting: admitting(&script), doubted: None });
    let mut backfill = backfill(verify, range(1, 400), 10_000, blooms, 1);
    let (mut waiting, mut reports, mut given) = (BTreeMap::new(), Vec::new(), 0);
    let mut is_stopped = false;
    for _ in 0..10_000 {
        if given == answers && !std::mem::replace(&mut is_stopped, true) {
            backfill.stop();
            waiting.clear();
        }
        match backfill.next(0) {
            Action::Ask(ticket, ask) => drop(waiting.insert(ticket, ask)),
            Action::Submit(report) => reports.push(*report),
            Action::Done => return reports,
            other => {
                let Some((ticket, ask)) = waiting.pop_first() else { panic!("{other:?}") };
                given += usize::from(ask != Ask::ChainId);
                backfill.on_answer(ticket, script.answer(&ask), 0);
            }
        }
    }
    panic!("spins");
}

#[test]
fn what_was_read_of_a_range_is_reported_as_far_as_it_is_shown_when_the_run_is_stopped() {
    let logs = [10, 60, 210];
    let read = |answers, verify| -> Vec<(BlockRange, usize)> {
        let reports = stopped_after(answers, Script::honest(logs), verify);
        reports.iter().map(|report| (report.range, report.logs.len())).collect()
    };
    // Logs come first, then headers in growing parts; without all of these nothing is known.
    assert_eq!(read(0, Verify::Bloom), []);
    assert_eq!(read(1, Verify::Bloom), []);
    assert_eq!(read(2, Verify::Bloom), [(range(1, 10), 1)]);
    let [(more, 2)] = read(9, Verify::Bloom)[..] else { panic!("one range, with two logs") };
    assert!(more.first() == 1 && (60..210).contains(&more.last()), "{more}");
    // Receipts are demanded from block 10 on, and were not given yet.
    assert_eq!(read(2, Verify::Prove), [(range(1, 9), 0)]);
    let all = read(1_000, Verify::Prove);
    let parts: Vec<BlockRange> = all.iter().map(|(part, _)| *part).collect();
    assert!(contiguous(&parts, range(1, 400)), "{parts:?}");
    assert_eq!(all.iter().map(|(_, logs)| logs).sum::<usize>(), 3);
    let parts: Vec<_> = (0..40).flat_map(|answers| read(answers, Verify::Prove)).collect();
    assert!(parts.iter().any(|(_, logs)| (1..3).contains(logs)), "{parts:?}");
    // The first of them is in doubt: what was read above it is not told as shown.
    let lost = || {
        Script::bent(logs, |ask| match ask {
            Ask::Logs { .. } => Some(Ok(Answer::Logs(LogsAnswer::default()))),
            _ => None,
        })
    };
    let reports = stopped_after(2, lost(), Verify::Bloom);
    assert_eq!(reports.iter().map(|report| report.range).collect::<Vec<_>>(), [range(1, 9)]);
    assert!(reports.iter().all(|report| report.judged.is_some() && report.faults.is_empty()));
}

#[test]
fn f25_a_block_lost_in_range_mode_is_recovered_by_hash_and_named() {
    let script = Script::bent([50, 60], |ask| match ask {
        Ask::Logs { .. } => Some(Ok(Answer::Logs(LogsAnswer::default()))),
        _ => None,
    });
    let run = run(script, Verify::Bloom, range(1, 100), 10_000);
    assert_eq!(run.log_blocks(), [50, 60]);
    assert_eq!(run.flaws(), [Flaw::Missing, Flaw::Missing]);
    assert!(!run.asked.iter().any(|ask| matches!(ask, Ask::Receipts { .. })));
}

#[test]
fn f26_a_block_lost_in_all_modes_is_asked_for_as_receipts() {
    let script = Script::bent([50], |ask| match ask {
        Ask::Logs { .. } | Ask::LogsByHash { .. } => Some(Ok(Answer::Logs(LogsAnswer::default()))),
        _ => None,
    });
    let run = run(script, Verify::Bloom, range(1, 100), 10_000);
    let report = &run.reports[0];
    let block = report.blocks.iter().find(|block| block.number == 50).unwrap();
    assert_eq!(block.receipts.as_ref().unwrap()[0].logs.len(), 1);
}

#[test]
fn a_doubt_that_nothing_settles_is_sent_as_doubt() {
    let script = Script::bent([50], |ask| match ask {
        Ask::Logs { .. } | Ask::LogsByHash { .. } => Some(Ok(Answer::Logs(LogsAnswer::default()))),
        Ask::Receipts { .. } => Some(Err(FaultClass::Off)),
        _ => None,
    });
    let run = run(script, Verify::Bloom, range(1, 100), 10_000);
    let report = &run.reports[0];
    let doubts = report.judged.as_ref().unwrap().blocks.iter().filter(|b| b.doubt).count();
    assert_eq!((doubts, report.faults.len()), (1, 1));
}

#[test]
fn f18_f19_a_hint_narrows_from_our_own_start_and_no_block_is_skipped() {
    let script = Script::bent([5, 700, 2_000], |ask| match ask {
        Ask::Logs { range, .. } if range.count() > 100 => {
            Some(Err(FaultClass::Hint { width: 100 }))
        }
        _ => None,
    });
    let whole = range(1, 2_000);
    let run = run(script, Verify::Off, whole, 10_000);
    assert!(contiguous(&run.covered(), whole), "{:?}", run.covered());
    assert!(run.covered().iter().all(|range| range.count() <= 100));
    assert_eq!(run.log_blocks(), [5, 700, 2_000]);
}

#[test]
fn f20_a_limit_at_width_one_goes_by_hash_then_by_receipts_and_never_spins() {
    for verify in [Verify::Off, Verify::Bloom, Verify::Prove] {
        let by_hash = Script::bent([3], |ask| match ask {
            Ask::Logs { .. } => Some(Err(FaultClass::Size)),
            _ => None,
        });
        let run = run(by_hash, verify, range(1, 4), 10_000);
        assert_eq!(run.log_blocks(), [3], "{verify}");
        assert!(contiguous(&run.covered(), range(1, 4)));
        assert!(run.flaws().is_empty(), "a refusal is no lie: {:?}", run.flaws());
    }
    let by_receipts = Script::bent([3], |ask| match ask {
        Ask::Logs { .. } | Ask::LogsByHash { .. } => Some(Err(FaultClass::Size)),
        _ => None,
    });
    let run = run(by_receipts, Verify::Bloom, range(1, 4), 10_000);
    // The scripted filter matches no scripted log, so the receipts themselves are looked at.
    let block = run.reports.iter().flat_map(|r| &r.blocks).find(|b| b.number == 3).unwrap();
    assert_eq!(block.via, Via::Receipts);
}

#[test]
fn f20_a_node_that_refuses_every_way_gives_the_block_up_in_a_bounded_number_of_calls() {
    let script = Script::bent([], |ask| match ask {
        Ask::Headers { .. } => None,
        _ => Some(Err(FaultClass::Size)),
    });
    let run = run(script, Verify::Bloom, range(1, 8), 10_000);
    assert_eq!(run.surrendered.len(), 8);
    assert!(run.asked.len() < 8 * 8, "{} calls", run.asked.len());
}

#[test]
fn too_many_addresses_are_asked_in_groups() {
    let script = Script::bent([3], |ask| match ask {
        Ask::Logs { filter, .. } => match &filter.addresses {
            AnyOf::Of(set) if set.len() > 1 => Some(Err(FaultClass::Filter)),
            _ => None,
        },
        _ => None,
    });
    let run = run(script, Verify::Off, range(1, 8), 10_000);
    assert_eq!(run.reports.len(), 2, "one report for each address");
    assert!(run.surrendered.is_empty());
}

#[test]
fn f21_an_answer_exactly_as_long_as_a_cap_is_read_in_halves() {
    let numbers = 0..=1_199u64;
    let script = Script::bent(numbers.clone(), move |ask| match ask {
        Ask::Logs { range, .. } => {
            let kept = (range.first()..=range.last()).take(1_000);
            let script = Script::honest([]);
            Some(Ok(Answer::Logs(script.logs(kept))))
        }
        _ => None,
    });
    let run = run(script, Verify::Off, range(0, 1_199), 10_000);
    assert_eq!(run.log_blocks(), numbers.collect::<Vec<_>>());
}

#[test]
fn f22_a_hole_is_given_up_and_its_siblings_are_kept() {
    let script = Script::bent([5, 700, 1_900], |ask| match ask {
        Ask::Logs { range, .. } if range.contains(700) => {
            Some(Err(FaultClass::Pruned { earliest: None }))
        }
        _ => None,
    });
    let run = run(script, Verify::Off, range(1, 2_000), 10_000);
    let given_up: BlockRanges = run.surrendered.iter().map(|left| left.range).collect();
    assert!(given_up.contains(700) && given_up.count() <= 10, "{given_up:?}");
    assert_eq!(run.log_blocks(), [5, 1_900]);
}

#[test]
fn f8_a_torn_answer_is_discarded_and_asked_again_a_bounded_number_of_times() {
    let mut left = 2;
    let script = Script::bent([5], move |ask| match ask {
        Ask::Logs { .. } if left > 0 => {
            left -= 1;
            Some(Err(FaultClass::Dropped))
        }
        _ => None,
    });
    let torn = run(script, Verify::Off, range(1, 100), 10_000);
    assert_eq!(torn.log_blocks(), [5]);

    let never = Script::bent([5], |ask| match ask {
        Ask::Logs { .. } => Some(Err(FaultClass::Malformed)),
        _ => None,
    });
    let run = run(never, Verify::Off, range(1, 100), 10_000);
    assert!(run.reports.is_empty());
    assert_eq!((run.surrendered.len(), run.asked.len()), (1, 5));
}

#[test]
fn f1_a_node_that_only_fails_is_left_after_a_bounded_number_of_calls() {
    // What the node makes of an error text that it does not know: many blocks may be too many.
    let unknown = |range: &BlockRange| match range.count() {
        1 => FaultClass::Busy,
        _ => FaultClass::Split,
    };
    type Class = fn(&BlockRange) -> FaultClass;
    let classes: [Class; 6] = [
        unknown,
        |_| FaultClass::Busy,
        |_| FaultClass::Malformed,
        |_| FaultClass::Off,
        |_| FaultClass::Auth,
        |_| FaultClass::Rate { retry_after_ms: None },
    ];
    for class in classes {
        for verify in [Verify::Off, Verify::Bloom] {
            let script = Script::bent([5], move |ask| match ask {
                Ask::Logs { range, .. } => Some(Err(class(range))),
                _ => None,
            });
            let run = run(script, verify, range(0, 9_999), 100_000);
            let calls = run.asked.iter().filter(|ask| matches!(ask, Ask::Logs { .. })).count();
            let name = class(&range(1, 1));
            assert!(calls <= 40, "{name:?}: {calls} calls");
            assert!(run.ended_ms <= 60_000, "{name:?}: {} ms", run.ended_ms);
            assert!(run.reports.is_empty());
            let left: u64 = run.surrendered.iter().map(|left| left.range.count()).sum();
            assert_eq!(left, 10_000, "{name:?}: what is not read is left to another node");
        }
    }
}

#[test]
fn f1_a_node_without_some_blocks_is_still_asked_for_the_others() {
    for class in [FaultClass::Pruned { earliest: None }, FaultClass::Unknown] {
        let script = Script::bent([9_000], move |ask| match ask {
            Ask::Logs { range, .. } if range.first() < 5_000 => Some(Err(class.clone())),
            _ => None,
        });
        let run = run(script, Verify::Off, range(0, 9_999), 100_000);
        assert_eq!(run.log_blocks(), [9_000]);
    }
}

#[test]
fn f1_a_range_that_a_node_is_too_busy_for_is_read_in_parts() {
    let script = Script::bent([5, 700, 2_000], |ask| match ask {
        Ask::Logs { range, .. } if range.count() > 10 => Some(Err(FaultClass::Busy)),
        _ => None,
    });
    let run = run(script, Verify::Off, range(1, 2_000), 10_000);
    assert_eq!(run.log_blocks(), [5, 700, 2_000]);
    assert!(run.surrendered.is_empty());
}

#[test]
fn f1_receipts_that_are_never_given_are_soon_asked_for_only_once_each() {
    let script = Script::bent(0..5_000, |ask| match ask {
        Ask::Receipts { .. } | Ask::ReceiptsOf { .. } => Some(Err(FaultClass::Busy)),
        _ => None,
    });
    let run = run(script, Verify::Prove, range(0, 4_999), 10_000);
    // Those under way at first are tried some times, all of the others once.
    let asked: usize = run.asked.iter().map(receipts_asked).sum();
    assert!(asked < 2 * 5_000, "{asked} blocks");
    assert_eq!(run.log_blocks().len(), 5_000);
}

/// Blocks whose receipts a question is for.
fn receipts_asked(ask: &Ask) -> usize {
    match ask {
        Ask::Receipts { .. } => 1,
        Ask::ReceiptsOf { blocks } => blocks.len(),
        _ => 0,
    }
}

#[test]
fn a_node_with_pruned_history_gives_what_it_has_and_is_not_asked_for_the_rest() {
    for (through, earliest) in [(0, None), (37, None), (700, None), (998, None), (700, Some(701))] {
        let script = Script::bent([1, 37, 38, 701, 702, 999], move |ask| match ask {
            Ask::Logs { range, .. } if range.first() <= through => {
                Some(Err(FaultClass::Pruned { earliest }))
            }
            _ => None,
        });
        let run = run(script, Verify::Bloom, range(1, 999), 10_000);
        assert!(
            contiguous(&run.covered(), range(through + 1, 999)),
            "{through}: {:?}",
            run.covered()
        );
        let gone: u64 = run.surrendered.iter().map(|left| left.range.count()).sum();
        assert_eq!(gone, through);
        assert!(run.surrendered.iter().all(|left| left.range.last() <= through));
        let logs = run.asked.iter().filter(|ask| matches!(ask, Ask::Logs { .. })).count();
        assert!(logs <= 40, "{through}: {logs} questions");
        let headers = run.asked.iter().map(|ask| match ask {
            Ask::Headers { range } if range.first() <= through => range.count(),
            _ => 0,
        });
        let headers: u64 = headers.sum();
        // Those of one range, where they are answered before its logs.
        assert!(headers < 500, "{through}: {headers} headers in vain");
    }
}

#[test]
fn a_backend_that_has_less_than_the_others_takes_little_away() {
    let mut asked = 0;
    let script = Script::bent([5, 700, 1_900], move |ask| {
        asked += u32::from(matches!(ask, Ask::Logs { .. }));
        let is_pruned = matches!(ask, Ask::Logs { .. }) && asked % 3 == 0;
        is_pruned.then_some(Err(FaultClass::Pruned { earliest: None }))
    });
    let run = run(script, Verify::Bloom, range(1, 5_000), 10_000);
    let gone: u64 = run.surrendered.iter().map(|left| left.range.count()).sum();
    assert!(gone < 50, "{gone} blocks: {:?}", run.surrendered);
}

#[test]
fn receipts_of_many_blocks_are_asked_for_together() {
    let run = run(Script::honest(0..499), Verify::Prove, range(0, 498), 10_000);
    let asked: Vec<usize> = run.asked.iter().map(receipts_asked).filter(|n| *n > 0).collect();
    assert_eq!(asked.iter().sum::<usize>(), 499, "each once");
    assert!(asked.len() <= 45, "{asked:?}");
    let proved = run.reports.iter().flat_map(|report| &report.blocks);
    assert!(proved.clone().count() == 499 && proved.into_iter().all(|b| b.receipts.is_some()));
}

#[test]
fn a_block_that_a_batch_of_receipts_leaves_out_is_asked_for_again_and_the_others_are_not() {
    let mut is_first = BTreeSet::from([FaultClassOf::Rate, FaultClassOf::Malformed]);
    let script = Script::bent(1..=100, move |ask| {
        let Ask::ReceiptsOf { blocks } = ask else { return None };
        let honest = Script::honest(1..=100);
        let answer = |block: &BlockNumHash| {
            let class = match block.number {
                7 if is_first.remove(&FaultClassOf::Rate) => {
                    FaultClass::Rate { retry_after_ms: Some(10_000) }
                }
                8 if is_first.remove(&FaultClassOf::Malformed) => FaultClass::Malformed,
                9 => FaultClass::Pruned { earliest: None },
                _ => return Ok(honest.receipts(block)),
            };
            Err(fault(class))
        };
        Some(Ok(Answer::ReceiptsOf(blocks.iter().map(answer).collect())))
    });
    let run = run(script, Verify::Prove, range(1, 100), 10_000);
    let times = |number: u64| {
        let of = |ask: &&Ask| match ask {
            Ask::Receipts { block } => block.number == number,
            Ask::ReceiptsOf { blocks } => blocks.iter().any(|block| block.number == number),
            _ => false,
        };
        run.asked.iter().filter(of).count()
    };
    assert_eq!((1..=10).map(times).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 1, 2, 2, 1, 1]);
    assert!(run.ended_ms >= 10_000, "the node is left alone as long as it asked");
    let blocks = run.reports.iter().flat_map(|report| &report.blocks);
    let without: Vec<u64> =
        blocks.filter(|block| block.receipts.is_none()).map(|block| block.number).collect();
    assert_eq!(without, [9], "not given is not empty");
    assert_eq!(run.reports.iter().map(|report| report.faults.len()).sum::<usize>(), 1);
}

#[test]
fn f49_a_header_that_a_node_does_not_give_leaves_its_block_open_and_no_other() {
    for class in [FaultClass::Unknown, FaultClass::Malformed] {
        let bad = class.clone();
        let script = Script::bent([7, 8, 400], move |ask| {
            let Ask::Headers { range } = ask else { return None };
            let item = |number: u64| match number {
                7 | 300 => Err(fault(bad.clone())),
                number => Ok(header_at(number)),
            };
            match range.contains(7) || range.contains(300) {
                true if range.count() == 1 => Some(Err(bad.clone())),
                true => {
                    let items = (range.first()..=range.last()).map(item).collect();
                    Some(Ok(Answer::SomeHeaders(items)))
                }
                false => None,
            }
        });
        let run = run(script, Verify::Bloom, range(1, 499), 10_000);
        assert_eq!(run.covered(), [range(1, 499)]);
        assert!(run.surrendered.is_empty());
        // What the logs tell of it is there, without a header.
        assert_eq!(run.log_blocks(), [7, 8, 400]);
        let report = &run.reports[0];
        let bare: Vec<u64> =
            report.blocks.iter().filter(|b| b.header.is_none()).map(|b| b.number).collect();
        assert_eq!((bare, report.blocks.len()), (vec![7], 498));
        let faults: Vec<&str> = report.faults.iter().map(|fault| &*fault.text).collect();
        let text = |number| format!("the header of block {number}: as scripted");
        assert_eq!(faults, [text(7), text(300)]);
        let asked = |number: u64| {
            let of = |ask: &&Ask| matches!(ask, Ask::Headers { range } if range.contains(number));
            run.asked.iter().filter(of).count()
        };
        assert_eq!((asked(6), asked(299)), (1, 1), "the others are asked for once");
        assert!(asked(7) <= 3, "{}", asked(7));
    }
}

#[test]
fn f49_a_node_that_gives_no_header_at_all_is_left_to_the_next_one() {
    for class in [FaultClass::Unknown, FaultClass::Malformed] {
        let bad = class.clone();
        let script = Script::bent([7], move |ask| {
            matches!(ask, Ask::Headers { .. }).then(|| Err(bad.clone()))
        });
        let run = run(script, Verify::Bloom, range(1, 5_000), 60_000);
        assert!(run.reports.is_empty());
        let left: u64 = run.surrendered.iter().map(|left| left.range.count()).sum();
        assert_eq!(left, 5_000);
        // Three tries each of the first headers of some ranges, a few at once.
        let headers = run.asked.iter().map(|ask| match ask {
            Ask::Headers { range } => range.count(),
            _ => 0,
        });
        assert!(headers.sum::<u64>() < 6_000 && run.asked.len() < 600, "{}", run.asked.len());
    }
}

#[test]
fn f4_what_a_node_gives_between_refusals_is_kept_and_the_rest_is_not_given_up() {
    // Of each question it lets the first three calls through.
    let script = Script::bent([7], |ask| {
        let rate = || fault(FaultClass::Rate { retry_after_ms: Some(50) });
        match ask {
            Ask::Headers { range } if range.count() > 3 => {
                let item = |(place, number)| match place {
                    0..3 => Ok(header_at(number)),
                    _ => Err(rate()),
                };
                let items = (0u64..).zip(range.first()..=range.last()).map(item).collect();
                Some(Ok(Answer::SomeHeaders(items)))
            }
            Ask::ReceiptsOf { blocks } => {
                let honest = Script::honest([7]);
                let item = |(place, block): (usize, &BlockNumHash)| match place {
                    0..3 => Ok(honest.receipts(block)),
                    _ => Err(rate()),
                };
                Some(Ok(Answer::ReceiptsOf(blocks.iter().enumerate().map(item).collect())))
            }
            _ => None,
        }
    });
    let run = run(script, Verify::Prove, range(1, 499), 100_000);
    assert!(run.surrendered.is_empty());
    let blocks: Vec<&ReportedBlock> = run.reports.iter().flat_map(|r| &r.blocks).collect();
    assert!(blocks.len() == 499 && blocks.iter().all(|block| block.header.is_some()));
    assert!(run.reports.iter().all(|report| report.faults.is_empty()));
    // Less at once is whole sooner.
    assert!(run.reports.len() > 4, "{:?}", run.covered());
    assert_eq!(run.log_blocks(), [7]);
}

/// What happens once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FaultClassOf {
    Rate,
    Malformed,
}

#[test]
fn f4_a_rate_limit_pauses_the_node_as_long_as_it_asked() {
    let mut left = 1;
    let script = Script::bent([5], move |ask| match ask {
        Ask::Logs { .. } if left > 0 => {
            left -= 1;
            Some(Err(FaultClass::Rate { retry_after_ms: Some(30_000) }))
        }
        _ => None,
    });
    let run = run(script, Verify::Off, range(1, 100), 10_000);
    assert_eq!(run.log_blocks(), [5]);
    assert!(run.ended_ms >= 30_000);
}

#[test]
fn f38_logs_of_another_block_are_left_out_and_named() {
    let script = Script::bent([5], |ask| match ask {
        Ask::Logs { .. } => {
            let mut answer = Script::honest([]).logs([5, 5_000]);
            answer.blocks[1].1 = hash(1);
            Some(Ok(Answer::Logs(answer)))
        }
        _ => None,
    });
    let run = run(script, Verify::Bloom, range(1, 100), 10_000);
    assert_eq!(run.log_blocks(), [5]);
    assert_eq!(run.flaws(), [Flaw::WrongBlock]);
}

#[test]
fn f48_removed_logs_are_no_logs_and_are_named() {
    let script = Script::bent([5], |ask| match ask {
        Ask::Logs { .. } => {
            let mut answer = Script::honest([]).logs([5]);
            answer.removed = 2;
            Some(Ok(Answer::Logs(answer)))
        }
        _ => None,
    });
    let run = run(script, Verify::Off, range(1, 100), 10_000);
    assert_eq!(run.flaws(), [Flaw::Removed]);
    assert_eq!(run.log_blocks(), [5]);
}

#[test]
fn f48_removed_logs_leave_their_range_in_doubt_until_receipts_decide() {
    // By range and by hash one log of block 5 is called removed and one is not.
    let removed = |ask: &Ask| match ask {
        Ask::Logs { .. } | Ask::LogsByHash { .. } => {
            let mut answer = Script::honest([]).logs([5]);
            answer.removed = 1;
            Some(Ok(Answer::Logs(answer)))
        }
        _ => None,
    };
    let doubted = |run: &Run| {
        let judged = run.reports[0].judged.as_ref().unwrap();
        judged.blocks.iter().filter(|verdict| verdict.doubt).count()
    };
    let settled = run(Script::bent([5], removed), Verify::Bloom, range(1, 100), 10_000);
    assert_eq!(settled.log_blocks(), [5]);
    assert_eq!(settled.flaws(), [Flaw::Removed, Flaw::Removed]);
    let asked = |wanted: fn(&Ask) -> bool| settled.asked.iter().filter(|ask| wanted(ask)).count();
    assert_eq!(
        asked(|ask| matches!(ask, Ask::LogsByHash { .. })),
        1,
        "only where the bloom admits"
    );
    assert_eq!(asked(|ask| matches!(ask, Ask::Receipts { .. })), 1);
    assert_eq!(doubted(&settled), 0);

    let unsettled = Script::bent([5], move |ask| match ask {
        Ask::Receipts { .. } => Some(Err(FaultClass::Off)),
        _ => removed(ask),
    });
    assert_eq!(doubted(&run(unsettled, Verify::Bloom, range(1, 100), 10_000)), 1);
}

#[test]
fn an_unfinalized_range_whose_end_moved_is_read_again() {
    let mut calls = 0;
    let script = Script::bent([5], move |ask| match ask {
        Ask::Headers { range } if range.count() == 1 => {
            calls += 1;
            let mut block = header_at(range.first());
            if calls == 1 {
                block.hash = hash(77);
            }
            Some(Ok(Answer::Headers(vec![block])))
        }
        _ => None,
    });
    let run = run(script, Verify::Bloom, range(1, 100), 10);
    assert_eq!(run.log_blocks(), [5]);
    let reads = run.asked.iter().filter(|ask| matches!(ask, Ask::Logs { .. })).count();
    assert_eq!(reads, 2);
}

#[test]
fn above_the_finalized_block_headers_are_read_even_without_verification() {
    let run = run(Script::honest([5, 90]), Verify::Off, range(1, 2_000), 1_000);
    assert_eq!(run.log_blocks(), [5, 90]);
    let with_headers: Vec<BlockRange> = run
        .reports
        .iter()
        .filter(|report| report.blocks.iter().filter(|block| block.header.is_some()).count() > 1)
        .map(|report| report.range)
        .collect();
    assert!(with_headers.iter().all(|range| range.last() > 1_000), "{with_headers:?}");
    assert!(!with_headers.is_empty());
}

#[test]
fn a_log_that_range_and_hash_both_give_is_one_log() {
    // Block 50 has a log in the range answer, but a bloom that leaves it in doubt all the same.
    let script = Script::bent([50], |_| None);
    let run = run_doubting(script, 50);
    assert_eq!(run.log_blocks(), [50]);
    assert!(run.asked.iter().any(|ask| matches!(ask, Ask::LogsByHash { .. })));
    assert!(run.flaws().is_empty(), "{:?}", run.flaws());
}

#[test]
fn without_headers_an_answer_with_logs_of_other_blocks_is_not_taken() {
    let script = Script::bent([5], |ask| match ask {
        Ask::Logs { .. } => {
            let mut answer = Script::honest([]).logs([5, 6]);
            answer.blocks[1].0 = u64::MAX;
            Some(Ok(Answer::Logs(answer)))
        }
        _ => None,
    });
    let run = run(script, Verify::Off, range(1, 100), 10_000);
    assert!(run.reports.is_empty());
    assert_eq!(run.surrendered.len(), 1);
}

#[test]
fn a_retry_that_is_due_while_every_call_is_under_way_waits_for_an_answer() {
    let mut script = Script::honest(1..=300);
    let blooms = Arc::new(Blooms { admitting: admitting(&script), doubted: None });
    let mut backfill = backfill(Verify::Prove, range(1, 300), 10_000, blooms, 1);
    let mut is_busy = true;
    for _ in 0..50 {
        let Action::Ask(ticket, ask) = backfill.next(0) else { break };
        if receipts_asked(&ask) == 0 {
            backfill.on_answer(ticket, script.answer(&ask), 0);
        } else if std::mem::take(&mut is_busy) {
            backfill.on_answer(ticket, Err(fault(FaultClass::Busy)), 0);
        }
    }
    assert!(!is_busy, "receipts were asked for");
    // A driver that is told to wait for a moment that has passed asks again at once, for ever.
    assert!(matches!(backfill.next(60_000), Action::WaitForAnswer));
}

#[test]
fn headers_are_asked_for_in_fewer_where_so_many_are_refused_for_the_rate_and_each_is_got_once() {
    let mut asked = 0;
    let script = Script::bent([5, 1_500], move |ask| match ask {
        // Of those that it would give it refuses a fifth.
        Ask::Headers { range } => {
            asked += 1;
            let is_refused = range.count() > 12 || asked % 5 == 0;
            is_refused.then_some(Err(FaultClass::Rate { retry_after_ms: None }))
        }
        _ => None,
    });
    let whole = range(0, 1_999);
    let run = run(script, Verify::Bloom, whole, 10_000);
    assert!(run.surrendered.is_empty(), "{:?}", run.surrendered);
    assert!(contiguous(&run.covered(), whole), "{:?}", run.covered());
    assert_eq!(run.log_blocks(), [5, 1_500]);
    let headers = run.asked.iter().filter(|ask| matches!(ask, Ask::Headers { .. })).count();
    assert!(headers <= 1_000, "{headers} questions");
}

#[test]
fn f12_what_a_node_gave_since_its_chain_was_asked_for_last_is_left_to_others_when_it_is_another() {
    let mut chains = 0;
    let script = Script::bent([], move |ask| {
        chains += u64::from(*ask == Ask::ChainId);
        (*ask == Ask::ChainId && chains > 2).then(|| Ok(Answer::ChainId(ChainId(777))))
    });
    let run = run(script, Verify::Off, range(1, 100_000), 200_000);
    assert!(!run.reports.is_empty() && run.reports.len() <= 4, "{:?}", run.covered());
    let mut all = run.covered();
    all.extend(run.surrendered.iter().map(|given_up| given_up.range));
    all.sort_unstable();
    assert!(contiguous(&all, range(1, 100_000)), "{all:?}");
    let wrong = FaultClass::WrongChain { expected: CHAIN, found: ChainId(777) };
    assert!(run.surrendered.iter().all(|given_up| given_up.fault.class == wrong));
    assert_eq!(run.asked.last(), Some(&Ask::ChainId), "nothing is asked of it then");
}

#[test]
fn f12_what_a_node_gave_is_left_to_others_when_it_does_not_say_its_chain_any_more() {
    let script =
        Script::bent([], |ask| (*ask == Ask::ChainId).then_some(Err(FaultClass::Unreachable)));
    let run = run(script, Verify::Off, range(1, 100), 10_000);
    assert_eq!(run.covered(), []);
    assert_eq!(run.surrendered.len(), 1);
}
