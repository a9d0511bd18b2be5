//! What a node's error means for the next question: a pure function of status, code and texts.
//!
//! Texts decide first, in an order in which the more telling one wins, then the HTTP status, and
//! the JSON-RPC code last: codes collide (-32005 is a rate limit at one provider, a range too wide
//! at Besu, a method switched off at a third). The texts are in `fixtures/rpc-errors.tsv`.

use event::FaultClass;
use regex::{Regex, RegexBuilder};
use std::sync::LazyLock;

/// Longest wait that a node may ask for: five minutes.
pub(crate) const MAX_RETRY_AFTER_MS: u64 = 300_000;

/// Texts are read up to here; real ones are far shorter.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// What a node said instead of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// HTTP status, where the transport has one.
    pub http_status: Option<u16>,
    /// Code of the JSON-RPC error object.
    pub code: Option<i64>,
    /// Its message, or the body where it is not JSON.
    pub message: &'a str,
    /// Its data as text; JSON where it is not a string.
    pub data: &'a str,
}

/// Returns what can be done about an error. One that nothing speaks of is `Busy`.
pub fn classify(reply: &ErrorReply<'_>) -> FaultClass {
    known(reply).unwrap_or(FaultClass::Busy)
}

/// Like [`classify`], but `None` where neither text nor status nor code is known.
pub fn known(reply: &ErrorReply<'_>) -> Option<FaultClass> {
    let message = cut(reply.message);
    let text = match reply.data {
        "" => message.to_owned(),
        data => format!("{message} {}", cut(data)),
    };
    by_text(text.trim()).or_else(|| by_status(reply.http_status?)).or_else(|| by_code(reply.code?))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

#[derive(Clone, Copy)]
enum Rule {
    Rate,
    HexHint,
    DecimalHint,
    MaxWidth,
    Filter,
    Size,
    Split,
    Batch,
    NotYet,
    Pruned,
    Indexing,
    Tag,
    Gone,
    Unknown,
    Quota,
    Off,
    Busy,
    Auth,
}

/// First match wins.
const RULES: [(Rule, &str); 21] = [
    (
        Rule::Rate,
        r"credits limited|requests? limited to|\d+/sec(?:ond)? request limit|request limit reached",
    ),
    (
        Rule::HexHint,
        r"(?:this block range should work|try with this block range):?\s*\[?0x([0-9a-f]+),\s*0x([0-9a-f]+)\]?",
    ),
    (Rule::DecimalHint, r"retry with the range (\d+)-(\d+)"),
    (Rule::MaxWidth, r"exceeds the range allowed for your plan \(\d+ > (\d+)\)"),
    // A digit has to come first: `max block range, block range = 5120, max block range = 5000`.
    (
        Rule::MaxWidth,
        r"(?:limited to(?: a)?|up to a|max(?:imum)? (?:block )?range:?|maximum is set to|range limit|at most|range \d+ exceeds limit of|number of requested blocks is|blocks distance:|\(maximum|, maximum|smaller than size|block range exceeds|block range greater than|max block range =|ranges over|max is|requested more than)\s*(\d[\d.,]*)\s*(k\b)?",
    ),
    (
        Rule::Filter,
        r"addresses or topics per search position|specify less number of address|contains \d+ filters|exceed max topics|please specify an address",
    ),
    (
        Rule::Size,
        r"returned more than|too many logs|max(?:imum)? logs per response|exceeds max results|matched by query exceeds|response size|response (?:is )?too (?:big|large)|too many results|try paginating",
    ),
    (
        Rule::Split,
        r"range (?:is )?too (?:large|wide|high)|bigger than maxblockrange|range limit exceeded|range threshold exceeded|exceeded max allowed|exceeds maximum rpc range limit|narrow your filter",
    ),
    (Rule::Batch, r"batch (?:request )?(?:size|too large)|max batch size"),
    (
        Rule::NotYet,
        r"beyond (?:current )?head|greater than latest|after last accepted|cannot query unfinalized|height must be less|blocks specified in filter .* cannot be found|not currently canonical|^invalid block range$",
    ),
    (
        Rule::Pruned,
        r"pruned|earliest available|no historical|history (?:is )?(?:unavailable|not available)|receipt not available|missing trie node",
    ),
    (
        Rule::Indexing,
        r"indexing is (?:in progress|not yet complete)|histories haven't been fully indexed",
    ),
    (
        Rule::Tag,
        r"(?:safe|finalized|pending) (?:block|header) not found|not a supported|malformed blocknumber",
    ),
    (Rule::Gone, r"filter not found|subscription .*not found|queue overflow"),
    (
        Rule::Unknown,
        r"(?:block|header)[^.]{0,12}not found|could not find block|unknown block|receipts not found",
    ),
    (
        Rule::Quota,
        r"daily request count|monthly capacity|reached the (?:free tier|quota)|exceeded the quota|upgrade your tier|/billing|payment required",
    ),
    (
        Rule::Rate,
        r"\b429\b|rate.?limit|too many requests|request rate exceeded|backoff_seconds|compute units|under too much load|maximum number of concurrent|connection limit reached|limit exceeded|\bcode: 1015\b",
    ),
    (
        Rule::Off,
        r"method .*not (?:found|supported|whitelisted|available|included in your current plan)|does not exist/is not available|unsupported method",
    ),
    (
        Rule::Busy,
        r"timed? ?out|timeout expired|no backend is currently healthy|server is busy|chainexception",
    ),
    (
        Rule::Auth,
        r"unauthori[sz]ed|must be authenticated|authentication (?:required|failed)|invalid (?:api|project|access|auth)[ _-]?(?:key|id|token)",
    ),
    (Rule::Busy, r"service unavailable|bad gateway|gateway time-?out"),
];

static COMPILED: LazyLock<Vec<(Rule, Regex)>> =
    LazyLock::new(|| RULES.iter().map(|(rule, pattern)| (*rule, compile(pattern))).collect());
static HEAD: LazyLock<Regex> = LazyLock::new(|| compile(r"\bhead (\d+)|latest block \((\d+)\)"));
static EARLIEST: LazyLock<Regex> = LazyLock::new(|| compile(r"earliest available:? (\d+)"));
static WAIT: LazyLock<Regex> = LazyLock::new(|| {
    compile(r#"try again in (\d+(?:\.\d+)?) ?(ms|s)|backoff_seconds"?:? ?(\d+(?:\.\d+)?)"#)
});

fn compile(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .expect("the patterns are constants that every test compiles")
}

fn by_text(text: &str) -> Option<FaultClass> {
    COMPILED.iter().find_map(|(rule, pattern)| {
        let found = pattern.captures(text)?;
        let group = |i: usize| found.get(i).map_or("", |group| group.as_str());
        Some(match rule {
            Rule::Rate => FaultClass::Rate { retry_after_ms: wait_ms(text) },
            Rule::HexHint => hint(group(1), group(2), 16),
            Rule::DecimalHint => hint(group(1), group(2), 10),
            Rule::MaxWidth => max_width(group(1), !group(2).is_empty()),
            Rule::Filter => FaultClass::Filter,
            Rule::Size => FaultClass::Size,
            Rule::Split => FaultClass::Split,
            Rule::Batch => FaultClass::Batch,
            Rule::NotYet => FaultClass::NotYet { head: number_in(&HEAD, text) },
            Rule::Pruned => FaultClass::Pruned { earliest: number_in(&EARLIEST, text) },
            Rule::Indexing => FaultClass::Indexing,
            Rule::Tag => FaultClass::Tag,
            Rule::Gone => FaultClass::Gone,
            Rule::Unknown => FaultClass::Unknown,
            Rule::Quota => FaultClass::Quota,
            Rule::Off => FaultClass::Off,
            Rule::Busy => FaultClass::Busy,
            Rule::Auth => FaultClass::Auth,
        })
    })
}

/// Only the width of a hint is used: its ends may be inverted, or start later than the question.
fn hint(a: &str, b: &str, radix: u32) -> FaultClass {
    match (u64::from_str_radix(a, radix), u64::from_str_radix(b, radix)) {
        (Ok(a), Ok(b)) => FaultClass::Hint { width: a.abs_diff(b).saturating_add(1) },
        _ => FaultClass::Split,
    }
}

/// `10000`, `10,000`, `10.000` and `10k` are the same number. A limit of N blocks counts both ends.
fn max_width(number: &str, thousands: bool) -> FaultClass {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let width = digits
        .parse::<u64>()
        .ok()
        .and_then(|width| width.checked_mul(if thousands { 1000 } else { 1 }));
    match width {
        Some(width) if width > 0 => FaultClass::MaxWidth { width },
        _ => FaultClass::Split,
    }
}

fn number_in(pattern: &Regex, text: &str) -> Option<u64> {
    let found = pattern.captures(text)?;
    found.iter().skip(1).flatten().next()?.as_str().parse().ok()
}

fn wait_ms(text: &str) -> Option<u64> {
    let found = WAIT.captures(text)?;
    let number: f64 = found.get(1).or_else(|| found.get(3))?.as_str().parse().ok()?;
    let is_ms = found.get(2).is_some_and(|unit| unit.as_str().eq_ignore_ascii_case("ms"));
    Some(((number * if is_ms { 1.0 } else { 1000.0 }) as u64).min(MAX_RETRY_AFTER_MS))
}

/// Returns the class that an HTTP status gives when the text gives none.
pub(crate) const fn by_status(status: u16) -> Option<FaultClass> {
    match status {
        401 | 403 => Some(FaultClass::Auth),
        402 => Some(FaultClass::Quota),
        408 => Some(FaultClass::Busy),
        413 => Some(FaultClass::Size),
        429 => Some(FaultClass::Rate { retry_after_ms: None }),
        500..=599 => Some(FaultClass::Busy),
        _ => None,
    }
}

/// Codes on which nodes agree. The others (-32005, -32012, -32014, -32016, -32602 ...) mean
/// different things at different nodes and decide nothing.
const fn by_code(code: i64) -> Option<FaultClass> {
    match code {
        429 | -32605 | -32607 => Some(FaultClass::Rate { retry_after_ms: None }),
        -32601 | -32004 => Some(FaultClass::Off),
        4444 => Some(FaultClass::Pruned { earliest: None }),
        -39001 => Some(FaultClass::Unknown),
        -32008 | -32020 => Some(FaultClass::Size),
        -32614 => Some(FaultClass::Split),
        -32002 | -32010 | -32011 | -32055 => Some(FaultClass::Busy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: &str = include_str!("../../../fixtures/rpc-errors.tsv");

    fn of_text(message: &str) -> FaultClass {
        classify(&ErrorReply { message, ..ErrorReply::default() })
    }

    fn word(class: &FaultClass) -> &'static str {
        match class {
            FaultClass::Hint { .. } => "HINT",
            FaultClass::MaxWidth { .. } => "MAXN",
            FaultClass::Split => "SPLIT",
            FaultClass::Size => "SIZE",
            FaultClass::Filter => "FILTER",
            FaultClass::Rate { .. } => "RATE",
            FaultClass::Quota => "QUOTA",
            FaultClass::Off => "OFF",
            FaultClass::NotYet { .. } => "NOTYET",
            FaultClass::Unknown => "UNKNOWN",
            FaultClass::Pruned { .. } => "PRUNED",
            FaultClass::Indexing => "INDEXING",
            FaultClass::Tag => "TAG",
            FaultClass::Gone => "GONE",
            FaultClass::Busy => "BUSY",
            FaultClass::Batch => "BATCH",
            FaultClass::Auth => "AUTH",
            _ => "?",
        }
    }

    #[test]
    fn f17_every_text_of_the_corpus_is_classified() {
        let mut rows = 0;
        for line in CORPUS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (class, text) = line.split_once('\t').expect("class, tab, text");
            let reply = ErrorReply { message: text, ..ErrorReply::default() };
            let found = known(&reply).unwrap_or_else(|| panic!("no rule for: {text}"));
            assert_eq!(word(&found), class, "{text}");
            rows += 1;
        }
        assert!(rows >= 90, "only {rows} rows");
    }

    #[test]
    fn f18_only_the_width_of_a_hint_is_used_even_when_it_is_inverted() {
        let expected = FaultClass::Hint { width: 500 };
        assert_eq!(of_text("this block range should work: [0x1, 0x1f4]"), expected);
        assert_eq!(of_text("this block range should work: [0x1f4, 0x1]"), expected);
        assert_eq!(of_text("Try with this block range [0x64, 0x257]."), expected);
        assert_eq!(of_text("retry with the range 100-599"), expected);
        assert_eq!(
            of_text("this block range should work: [0x5, 0x5]"),
            FaultClass::Hint { width: 1 }
        );
        let over = "this block range should work: [0x0, 0x1ffffffffffffffff]";
        assert_eq!(of_text(over), FaultClass::Split);
    }

    #[test]
    fn f19_a_limit_of_n_blocks_counts_both_ends_in_every_spelling() {
        let ten_thousand = FaultClass::MaxWidth { width: 10_000 };
        for text in [
            "eth_getLogs is limited to a 10,000 range",
            "Query requested more than 10.000 blocks",
            "eth_getLogs range is too large, max is 10k blocks",
            "range 1000000 exceeds limit of 10000",
            "please limit the query to at most 10,000.",
        ] {
            assert_eq!(of_text(text), ten_thousand, "{text}");
        }
        let hint = "You can make eth_getLogs requests with up to a 500 block range. Based on your \
                    parameters, this block range should work: [0x1, 0x1f4]";
        assert_eq!(of_text(hint), FaultClass::Hint { width: 500 });
        assert_eq!(of_text("up to a 500 block range"), FaultClass::MaxWidth { width: 500 });
        let twice = "block range is larger than max block range, block range = 5120, max block range = 5000";
        assert_eq!(of_text(twice), FaultClass::MaxWidth { width: 5000 });
        assert_eq!(of_text("exceed maximum block range: 0"), FaultClass::Split);
    }

    #[test]
    fn f24_a_32005_from_besu_is_not_a_rate_limit() {
        let besu =
            |message| classify(&ErrorReply { code: Some(-32005), message, ..Default::default() });
        assert_eq!(besu("Requested range exceeds maximum RPC range limit"), FaultClass::Split);
        assert_eq!(besu("Number of requests exceeds max batch size"), FaultClass::Batch);
        assert_eq!(
            besu("Too many logs requested. Max logs per response is 20000."),
            FaultClass::Size
        );
        assert_eq!(besu("limit exceeded"), FaultClass::Rate { retry_after_ms: None });
        assert_eq!(besu("something else"), FaultClass::Busy);
    }

    #[test]
    fn f5_a_json_rpc_429_inside_http_200_is_a_rate_limit() {
        let reply = ErrorReply {
            http_status: Some(200),
            code: Some(429),
            message: "Your app has exceeded its compute units per second capacity",
            data: "",
        };
        assert_eq!(classify(&reply), FaultClass::Rate { retry_after_ms: None });
        let silent = ErrorReply { message: "", ..reply };
        assert_eq!(classify(&silent), FaultClass::Rate { retry_after_ms: None });
    }

    #[test]
    fn the_text_wins_over_the_http_status_and_the_status_over_the_code() {
        let quicknode = ErrorReply {
            http_status: Some(413),
            code: Some(-32614),
            message: "eth_getLogs is limited to a 10,000 range",
            data: "",
        };
        assert_eq!(classify(&quicknode), FaultClass::MaxWidth { width: 10_000 });
        assert_eq!(classify(&ErrorReply { message: "", ..quicknode }), FaultClass::Size);
        let code_only = ErrorReply { message: "", http_status: None, ..quicknode };
        assert_eq!(classify(&code_only), FaultClass::Split);
    }

    #[test]
    fn a_reason_that_is_only_in_data_is_found() {
        let tenderly = ErrorReply {
            code: Some(-32602),
            message: "invalid params",
            data: "range 9009594 is bigger than range limit 2000",
            http_status: None,
        };
        assert_eq!(classify(&tenderly), FaultClass::MaxWidth { width: 2000 });
    }

    #[test]
    fn a_node_that_says_its_head_or_its_first_block_is_heard() {
        assert_eq!(
            of_text("block range extends beyond current head block: requested 10, head 8"),
            FaultClass::NotYet { head: Some(8) }
        );
        assert_eq!(
            of_text("pruned history unavailable: requested 1, earliest available 5"),
            FaultClass::Pruned { earliest: Some(5) }
        );
    }

    #[test]
    fn f13_a_method_that_a_node_does_not_know_is_off_whatever_its_code() {
        let ganache = ErrorReply {
            code: Some(-32600),
            message: "Unsupported method: eth_getBlockReceipts",
            data: "",
            http_status: None,
        };
        assert_eq!(classify(&ganache), FaultClass::Off);
    }

    #[test]
    fn f4_a_wait_in_the_text_is_read_and_clamped() {
        let rate = |retry_after_ms| FaultClass::Rate { retry_after_ms };
        assert_eq!(of_text("rate limit, try again in 250ms"), rate(Some(250)));
        assert_eq!(of_text("rate limit, try again in 2s"), rate(Some(2000)));
        assert_eq!(of_text("rate limit, try again in 9999s"), rate(Some(MAX_RETRY_AFTER_MS)));
        let infura = ErrorReply {
            code: Some(-32005),
            message: "project ID request rate exceeded",
            data: r#"{"rate":{"allowed_rps":1,"backoff_seconds":30,"current_rps":1.4}}"#,
            http_status: None,
        };
        assert_eq!(classify(&infura), rate(Some(30_000)));
    }

    #[test]
    fn f6_plans_used_up_are_a_quota_not_a_rate() {
        assert_eq!(of_text("Monthly capacity limit exceeded"), FaultClass::Quota);
        let payment = ErrorReply { http_status: Some(402), ..ErrorReply::default() };
        assert_eq!(classify(&payment), FaultClass::Quota);
    }
}
