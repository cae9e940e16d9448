//! `classad eval --jsonl`: a line of JSON in, a line of JSON out, for as long as there are lines.
//! A line that is no row is answered by what is wrong with it. Knows no row from inside.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use classad::rows::{self, Surroundings};
use serde_json::{Value as Json, json};

use super::now_secs;
use crate::exit::{Exit, Failure};
use crate::output::{complain, count, time};

/// The longest line that is read: two ads, an expression, and all of it escaped.
const LINE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 256 * 1024;

pub fn run(path: &Path) -> Result<Exit, Failure> {
    let wrong = |error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(wrong)?)
    };
    let around = Surroundings {
        now_secs: now_secs(),
        seed: time::now_ms(),
    };
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let ended = answer_all(&mut input, &mut output, around);
    let (lines, refused) = ended.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Pipe,
        _ => wrong(error),
    })?;
    if refused == 0 {
        return Ok(Exit::Ok);
    }
    let lines = count(lines, "line");
    complain(&format!(
        "{}: {refused} of {lines} are no rows",
        path.display()
    ));
    Ok(Exit::Usage)
}

/// Returns how many lines there were, and how many of them are no rows. Whoever writes a line and
/// waits for its answer gets it: what was answered goes out before input is waited for.
fn answer_all(
    input: &mut BufReader<impl Read>,
    output: &mut impl Write,
    around: Surroundings,
) -> io::Result<(u64, u64)> {
    let (mut number, mut lines, mut refused) = (0, 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
        let read = (&mut *input)
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            output.flush()?;
            return Ok((lines, refused));
        }
        number += 1;
        let answer = if read > LINE_BYTES_MAX && !line.ends_with(b"\n") {
            input.skip_until(b'\n')?;
            Err(json!({
                "error": format!("more than {LINE_BYTES_MAX} bytes (LINE_BYTES_MAX)"),
            }))
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            answer(&line, around)
        };
        lines += 1;
        let answer = answer.unwrap_or_else(|mut error| {
            refused += 1;
            error["line"] = json!(number);
            error
        });
        serde_json::to_writer(&mut *output, &answer)?;
        output.write_all(b"\n")?;
    }
}

fn answer(line: &[u8], around: Surroundings) -> Result<Json, Json> {
    let row: Json = serde_json::from_slice(line)
        .map_err(|error| json!({ "error": format!("no JSON: {error}") }))?;
    rows::answer(&row, around).map_err(|error| error.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8]) -> (Vec<Json>, (u64, u64)) {
        let around = Surroundings {
            now_secs: 1_700_000_000,
            seed: 1,
        };
        let mut output = Vec::new();
        let counts = answer_all(&mut BufReader::new(input), &mut output, around).unwrap();
        let lines = output.split(|byte| *byte == b'\n');
        let read = lines.filter(|line| !line.is_empty()).map(|line| {
            serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
        });
        (read.collect(), counts)
    }

    #[test]
    fn every_line_has_its_answer() {
        let input = concat!(
            r#"{"id": "a", "expr": "1 + 1"}"#,
            "\n\n",
            r#"{"id": 2, "ad": "[ x = 3 ]", "expr": "x", "expect": {"type": "error"}}"#,
            "\r\n",
            "what\n",
            "[1]\n",
            r#"{"id": "e", "ad": "[ x = ) ]", "expr": "x"}"#,
            "\n",
            r#"{"id": "f", "expr": "1 +"}"#,
        );
        let (lines, counts) = answers(input.as_bytes());
        assert_eq!(counts, (6, 3));
        let of = |i: usize| (&lines[i]["id"], &lines[i]["expect"], &lines[i]["line"]);
        let two = json!({ "type": "integer", "value": 2 });
        let three = json!({ "type": "integer", "value": 3 });
        let unread = json!({ "type": "parse_error" });
        assert_eq!(of(0), (&json!("a"), &two, &Json::Null));
        assert_eq!(of(1), (&json!(2), &three, &Json::Null));
        assert_eq!(of(2), (&Json::Null, &Json::Null, &json!(4)));
        assert_eq!(of(3), (&Json::Null, &Json::Null, &json!(5)));
        assert_eq!(of(4), (&json!("e"), &Json::Null, &json!(6)));
        assert_eq!(of(5), (&json!("f"), &unread, &Json::Null));
    }

    #[test]
    fn a_line_that_is_too_long_does_not_end_the_answers() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 10];
        input.extend_from_slice(b"\n{\"id\": 1, \"expr\": \"2\"}\n\xff\n");
        let (lines, counts) = answers(&input);
        assert_eq!(counts, (3, 2));
        assert!(
            lines[0]["error"]
                .as_str()
                .unwrap()
                .contains("LINE_BYTES_MAX")
        );
        assert_eq!(lines[1]["expect"]["value"], 2);
        assert!(lines[2]["error"].is_string());
    }
}
