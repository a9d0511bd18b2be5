//! The file of answers that stand for hosts while a plugin is tried: one JSON object after the other.

use crate::command_error::CommandError;
use host::{Answer, Answers, Said};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

/// Largest file of answers that is read, in bytes.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// What one of them looks like.
const EXAMPLE: &str =
    r#"{"method":"GET","url":"https://a.example/price","status":200,"json":{"usd":1}}"#;

/// One answer as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    json: Option<Value>,
    fault: Option<Fault>,
}

/// An answer that does not come.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    Timeout,
    Network,
}

fn get() -> String {
    "GET".to_owned()
}

const fn ok() -> u16 {
    200
}

/// Reads the file.
pub(crate) fn read_answers(path: &Path) -> Result<Arc<Answers>, CommandError> {
    let doing = || format!("reading the answers of {}", path.display());
    let size = fs::metadata(path).map_err(|error| CommandError::unread(doing(), error))?.len();
    if size > FILE_MAX_BYTES {
        let error = io::Error::other("it is larger than 64 MiB");
        return Err(CommandError::unread(doing(), error));
    }
    let text = fs::read(path).map_err(|error| CommandError::unread(doing(), error))?;
    parse(&text).map(Arc::new).map_err(|why| {
        CommandError::usage(why)
            .context(doing())
            .hint(format!("an answer is a JSON object such as {EXAMPLE}"))
    })
}

fn parse(text: &[u8]) -> Result<Answers, String> {
    let mut answers = Vec::new();
    for written in serde_json::Deserializer::from_slice(text).into_iter::<Written>() {
        let place = answers.len() + 1;
        let written = written.map_err(|error| format!("answer {place}: {error}"))?;
        answers.push(answer(written).map_err(|why| format!("answer {place}: {why}"))?);
    }
    Answers::new(answers).map_err(|(place, why)| format!("answer {place}: {why}"))
}

fn answer(written: Written) -> Result<Answer, String> {
    let Written { method, url, status, headers, body, json, fault } = written;
    if !(100..1_000).contains(&status) {
        return Err(format!("{status} is no status of HTTP"));
    }
    let said = match (fault, body, json) {
        (Some(Fault::Timeout), None, None) => Said::Timeout,
        (Some(Fault::Network), None, None) => Said::Network,
        (Some(_), ..) => return Err("it has a `fault` and a body".to_owned()),
        (None, Some(_), Some(_)) => return Err("it has a `body` and a `json`".to_owned()),
        (None, body, json) => {
            let body = body.or_else(|| json.map(|json| json.to_string())).unwrap_or_default();
            let headers = headers.into_iter().collect();
            Said::Response { status, headers, body: body.into_bytes() }
        }
    };
    Ok(Answer { method, url, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_an_answer_and_mistakes_are_told_with_their_place() {
        assert!(parse(EXAMPLE.as_bytes()).is_ok());
        assert!(parse(b"").is_ok());
        let several = "{\"url\":\"https://a.example/\"}\n{\n  \"method\": \"POST\",\n  \"url\": \
                       \"https://a.example/\",\n  \"fault\": \"timeout\"\n}\n";
        assert!(parse(several.as_bytes()).is_ok());
        for (second, why) in [
            ("{\"url\":1}", "answer 2: invalid type: integer `1`, expected a string at line 2"),
            ("{\"path\":\"/\"}", "answer 2: unknown field `path`"),
            ("{\"method\":\"GET\"}", "answer 2: missing field `url`"),
            ("{", "answer 2: EOF while parsing"),
            ("{\"url\":\"https://a.example/\"}", "answer 2: its method and url have an answer"),
            ("{\"url\":\"ftp://a.example/\"}", "answer 2: its url: only https://"),
            ("{\"url\":\"https://b.example/\",\"status\":7}", "answer 2: 7 is no status"),
            (
                "{\"url\":\"https://b.example/\",\"body\":\"\",\"json\":{}}",
                "answer 2: it has a `body` and a `json`",
            ),
            (
                "{\"url\":\"https://b.example/\",\"fault\":\"network\",\"json\":{}}",
                "answer 2: it has a `fault` and a body",
            ),
        ] {
            let text = format!("{{\"url\":\"https://a.example/\"}}\n{second}");
            let told = parse(text.as_bytes()).err().unwrap_or_default();
            assert!(told.contains(why), "{second}: {told}");
        }
    }
}
