//! `study show|best|ask-tell`.

use std::io::{BufRead, Read};

use optimizer::protocol::{LINE_BYTES_MAX, Session};
use proto::wire;
use serde::Serialize;

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::table::{Column, Table};
use crate::output::{self, Format, one_line, records, time};
use crate::settings::Settings;

/// What `study show -o json` prints.
#[derive(Serialize)]
struct ShowDocument {
    studies: Vec<records::Study>,
}

/// What `study best -o json` prints.
#[derive(Serialize)]
struct BestDocument {
    studies: Vec<Best>,
}

/// A study with its best trial alone.
#[derive(Serialize)]
struct Best {
    run: u32,
    node: String,
    metric: String,
    goal: String,
    status: String,
    /// `null` while no trial has succeeded.
    best: Option<records::Trial>,
}

pub async fn show(
    client: Client,
    run: u32,
    node: Option<String>,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let studies = studies(&client, run, node).await?;
    match settings.format {
        Format::Json => {
            let studies = studies.into_iter().map(records::Study::from).collect();
            output::print_json(&ShowDocument { studies })?;
        }
        Format::Table => {
            let texts: Vec<String> = studies.iter().map(study_text).collect();
            output::print(&texts.join("\n"))?;
        }
    }
    Ok(Exit::Ok)
}

pub async fn best(
    client: Client,
    run: u32,
    node: Option<String>,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let studies = studies(&client, run, node).await?;
    match settings.format {
        Format::Json => {
            let studies = studies.into_iter().map(best_of).collect();
            output::print_json(&BestDocument { studies })?;
        }
        Format::Table => output::print(&best_table(&studies).render())?,
    }
    Ok(Exit::Ok)
}

async fn studies(
    client: &Client,
    run: u32,
    node: Option<String>,
) -> Result<Vec<wire::Study>, Failure> {
    let request = wire::StudiesRequest {
        run,
        node: node.clone().unwrap_or_default(),
    };
    let studies = client.studies(request).await?.studies;
    match (studies.is_empty(), node) {
        (false, _) => Ok(studies),
        (true, Some(node)) => Err(Failure::NotFound(format!(
            "DAG run {run} has no study of the name {node}"
        ))),
        (true, None) => Err(Failure::NotFound(format!("DAG run {run} has no study"))),
    }
}

/// The best trial so far.
pub fn incumbent(study: &wire::Study) -> Option<&wire::Trial> {
    let number = study.incumbent?;
    study.trials.iter().find(|trial| trial.number == number)
}

/// `lr=0.01 hidden=64`, in the space's order; all digits are in the JSON.
pub fn params_text(trial: &wire::Trial) -> String {
    let short = |json: &str| match json.parse::<f64>() {
        Ok(value) => number(value),
        Err(_) => json.trim_matches('"').to_owned(),
    };
    let pairs = trial
        .params
        .iter()
        .map(|param| format!("{}={}", param.name, short(&param.json)));
    pairs.collect::<Vec<_>>().join(" ")
}

/// A number at four digits; all of them where it is that short.
pub fn number(value: f64) -> String {
    const DIGITS: i32 = 4;
    let exact = value.to_string();
    let rounded = match value.abs() {
        0.001..1_000_000.0 => {
            let before_the_point = value.abs().log10().floor() as i32 + 1;
            let decimals = usize::try_from(DIGITS - before_the_point).unwrap_or(0);
            format!("{value:.decimals$}")
        }
        _ => format!("{value:.3e}"),
    };
    if exact.len() <= rounded.len() {
        exact
    } else {
        rounded
    }
}

fn best_of(study: wire::Study) -> Best {
    let best = incumbent(&study).cloned().map(records::Trial::from);
    let wire::Study {
        run,
        node,
        metric,
        goal,
        status,
        ..
    } = study;
    Best {
        run,
        node,
        metric,
        goal,
        status,
        best,
    }
}

fn best_table(studies: &[wire::Study]) -> Table {
    let mut table = Table::new(&[
        Column::Id("STUDY"),
        Column::Id("STATUS"),
        Column::Id("METRIC"),
        Column::Number("BEST"),
        Column::Number("TRIAL"),
        Column::Text("PARAMETERS"),
    ]);
    for study in studies {
        let best = incumbent(study);
        table.row([
            study.node.clone(),
            study.status.clone(),
            study.metric.clone(),
            best.and_then(|trial| trial.value)
                .map(number)
                .unwrap_or_default(),
            best.map(|trial| trial.number.to_string())
                .unwrap_or_default(),
            best.map(params_text).unwrap_or_default(),
        ]);
    }
    table
}

fn study_text(study: &wire::Study) -> String {
    let ended = study
        .trials
        .iter()
        .filter(|trial| trial.ended_ms.is_some())
        .count();
    let mut text = format!(
        "{}: {}, {} {}, {ended}/{} trials\n",
        one_line(&study.node),
        study.status,
        study.goal,
        one_line(&study.metric),
        study.trials_total,
    );
    let mut table = Table::new(&[
        Column::Number("TRIAL"),
        Column::Id(""),
        Column::Id("STATUS"),
        Column::Number("VALUE"),
        Column::Number("TOOK"),
        Column::Id("JOB"),
        Column::Id("WORKER"),
        Column::Text("PARAMETERS"),
        Column::Text("REASON"),
    ]);
    for trial in &study.trials {
        let mark = match (study.incumbent == Some(trial.number), trial.default_params) {
            (true, _) => "best",
            (false, true) => "default",
            (false, false) => "",
        };
        let took = trial.started_ms.zip(trial.ended_ms);
        table.row([
            trial.number.to_string(),
            mark.to_owned(),
            trial.status.clone(),
            trial.value.map(number).unwrap_or_default(),
            took.map(|(start, end)| time::span(end.saturating_sub(start)))
                .unwrap_or_default(),
            trial.job.clone(),
            trial.worker.clone(),
            params_text(trial),
            trial.reason.clone(),
        ]);
    }
    text.push_str(&table.render());
    text
}

/// Answers each line of standard input by one line, until there is no more.
pub fn ask_tell() -> Result<Exit, Failure> {
    let mut session = Session::default();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte over the limit is enough for the session to refuse the line.
        let mut bounded = (&mut input).take(LINE_BYTES_MAX as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line);
        read.map_err(|error| Failure::Internal(format!("cannot read standard input: {error}")))?;
        if line.is_empty() {
            return Ok(Exit::Ok);
        }
        let whole = line.ends_with(b"\n");
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        output::print(&(session.line(&text) + "\n"))?;
        if !whole && line.len() > LINE_BYTES_MAX {
            return Err(Failure::Usage(format!(
                "a request has more than {LINE_BYTES_MAX} bytes (LINE_BYTES_MAX)"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let rows = [
            (0.5, "0.5"),
            (0.871_412_3, "0.8714"),
            (0.000_012_345, "1.234e-5"),
            (0.003_123_456, "0.003123"),
            (49.845_7, "49.85"),
            (-1_470.514, "-1471"),
            (123_456_789.25, "1.235e8"),
            (3.0, "3"),
            (0.0, "0"),
        ];
        for (value, text) in rows {
            assert_eq!(number(value), text);
        }
    }
}
