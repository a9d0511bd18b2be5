//! Every dialect's errors are understood as what they stand for.

use event::FaultClass;
use fakenode::{Asked, Dialect};
use node::{ErrorReply, classify};

fn classes() -> Vec<FaultClass> {
    vec![
        FaultClass::Hint { width: 500 },
        FaultClass::MaxWidth { width: 12_000 },
        FaultClass::MaxWidth { width: 1 },
        FaultClass::Split,
        FaultClass::Size,
        FaultClass::Filter,
        FaultClass::Rate { retry_after_ms: None },
        FaultClass::Quota,
        FaultClass::Off,
        FaultClass::NotYet { head: None },
        FaultClass::NotYet { head: Some(990) },
        FaultClass::Unknown,
        FaultClass::Pruned { earliest: None },
        FaultClass::Pruned { earliest: Some(700) },
        FaultClass::Indexing,
        FaultClass::Tag,
        FaultClass::Gone,
        FaultClass::Busy,
        FaultClass::Batch,
        FaultClass::Auth,
    ]
}

/// What is left of a class in the words of those that name no numbers.
fn heard(dialect: Dialect, class: &FaultClass) -> FaultClass {
    use Dialect::{Besu, Reth};
    match (dialect, class) {
        (Besu, FaultClass::Hint { .. } | FaultClass::MaxWidth { .. }) => FaultClass::Split,
        // Whether it is a tag says the question.
        (Besu, FaultClass::Tag) => FaultClass::Unknown,
        (Besu | Reth, FaultClass::NotYet { .. }) => class.clone(),
        (_, FaultClass::NotYet { .. }) => FaultClass::NotYet { head: None },
        (Reth, FaultClass::Pruned { .. }) => class.clone(),
        (_, FaultClass::Pruned { .. }) => FaultClass::Pruned { earliest: None },
        (_, class) => class.clone(),
    }
}

#[test]
fn each_dialects_errors_are_classified_as_what_they_stand_for() {
    let asked = Asked { method: "eth_getLogs".into(), first: 100, last: 1_099 };
    for dialect in Dialect::ALL {
        for class in classes() {
            let Some(words) = dialect.words(&class, &asked) else {
                assert_eq!((dialect, class), (Dialect::Erigon, FaultClass::Batch));
                continue;
            };
            let data = words.data.as_ref().map(|data| match data.as_str() {
                Some(text) => text.to_owned(),
                None => data.to_string(),
            });
            for http_status in [Some(words.status), None] {
                let reply = ErrorReply {
                    http_status,
                    code: Some(words.code),
                    message: &words.message,
                    data: data.as_deref().unwrap_or_default(),
                };
                let understood = classify(&reply);
                assert_eq!(understood, heard(dialect, &class), "{dialect:?}: {words:?}");
            }
        }
    }
}

#[test]
fn what_only_the_connection_says_has_no_words() {
    for dialect in Dialect::ALL {
        for class in [FaultClass::Dropped, FaultClass::TimedOut, FaultClass::Malformed] {
            assert_eq!(dialect.words(&class, &Asked::default()), None);
        }
    }
}
