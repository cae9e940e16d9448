//! What is told when a DAG run has ended: what tuning brought, where the models are, and what
//! failed.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::wire;
use serde::Serialize;

use crate::client::Client;
use crate::client::fate::JOBS_MAX;
use crate::exit::Failure;
use crate::output::table::{Column, Table};
use crate::output::{self, Format, complain, count, one_line, records, time};
use crate::settings::Settings;
use crate::verbs::dag::tally;
use crate::verbs::study::{incumbent, number, params_text};

/// Lines of a failed job's standard error that are shown.
const STDERR_LINES_MAX: usize = 20;
/// Bytes of it that are kept while reading on to its end.
const STDERR_BYTES_MAX: usize = 64 << 10;
/// Failed nodes whose standard error is shown; the others are named.
const SHOWN_MAX: usize = 10;
/// The macro that names what a study is for.
const LABEL_MACRO: &str = "region";
/// The ending of the files in which models are kept.
const MODEL_SUFFIX: &str = ".safetensors";

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    run: records::Run,
    elapsed_ms: u64,
    studies: Vec<Gain>,
}

/// What a study brought.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Gain {
    /// The node's macro `region`, else its name.
    label: String,
    node: String,
    metric: String,
    /// `minimize` or `maximize`.
    goal: String,
    /// The metric of the default parameters, on the validation part.
    default: Option<f64>,
    /// Of the best trial.
    best: Option<f64>,
    /// Of the final model, on the validation part and on held-out data.
    r#final: Option<f64>,
    final_test: Option<f64>,
    /// What else was measured of the final model on held-out data.
    final_test_also: BTreeMap<String, f64>,
    /// By how much the best trial is better than the default parameters, in per cent: both had the
    /// same budget.
    gain_percent: Option<f64>,
    parameters: String,
    models: Vec<String>,
}

/// Prints the result of a run. `typed` is the DAG's directory as the user wrote it.
///
/// # Errors
/// As printing has them.
pub fn print(
    run: &wire::Run,
    studies: &[wire::Study],
    typed: &str,
    elapsed: Duration,
    settings: &Settings,
) -> Result<(), Failure> {
    let gains: Vec<Gain> = studies
        .iter()
        .map(|study| gain(study, run, typed))
        .collect();
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    match settings.format {
        Format::Json => output::print_json(&Document {
            run: records::Run::from(run.clone()),
            elapsed_ms,
            studies: gains,
        }),
        Format::Table => output::print(&text(run, &gains, elapsed_ms)),
    }
}

fn text(run: &wire::Run, gains: &[Gain], elapsed_ms: u64) -> String {
    let counts = run.counts.unwrap_or_default();
    let mut text = String::new();
    if !gains.is_empty() {
        text.push_str(&numbers_table(gains).render());
        text.push('\n');
        text.push_str(&models_table(gains).render());
        text.push('\n');
    }
    text.push_str(&format!(
        "DAG run {} of {}: {}, {} in {}\n",
        run.id,
        one_line(&run.file),
        run.status,
        tally(&counts),
        time::span(elapsed_ms)
    ));
    text
}

fn numbers_table(gains: &[Gain]) -> Table {
    let mut table = Table::new(&[
        Column::Id("REGION"),
        Column::Id("METRIC"),
        Column::Number("DEFAULT"),
        Column::Number("TUNED"),
        Column::Number("GAIN"),
        Column::Number("FINAL"),
        Column::Number("ON TEST"),
        Column::Text("ALSO ON TEST"),
    ]);
    let shown = |value: Option<f64>| value.map(number).unwrap_or_default();
    for gain in gains {
        table.row([
            gain.label.clone(),
            gain.metric.clone(),
            shown(gain.default),
            shown(gain.best),
            gain.gain_percent
                .map(|percent| format!("{percent:+.1} %"))
                .unwrap_or_default(),
            shown(gain.r#final),
            shown(gain.final_test),
            also(&gain.final_test_also),
        ]);
    }
    table
}

fn also(metrics: &BTreeMap<String, f64>) -> String {
    let shown = metrics
        .iter()
        .map(|(name, value)| format!("{name}={}", number(*value)));
    shown.collect::<Vec<_>>().join(" ")
}

fn models_table(gains: &[Gain]) -> Table {
    let mut table = Table::new(&[
        Column::Id("REGION"),
        Column::Id("MODEL"),
        Column::Text("PARAMETERS"),
    ]);
    for gain in gains {
        let models = gain.models.join(" ");
        table.row([gain.label.clone(), models, gain.parameters.clone()]);
    }
    table
}

fn gain(study: &wire::Study, run: &wire::Run, typed: &str) -> Gain {
    let node = run.nodes.iter().find(|node| node.name == study.node);
    let region = node.and_then(|node| node.macros.get(LABEL_MACRO)).cloned();
    let children: Vec<&wire::Node> = run
        .nodes
        .iter()
        .filter(|node| node.parents.contains(&study.node))
        .collect();
    let reported = |name: &str| {
        children
            .iter()
            .find_map(|node| node.metrics.get(name))
            .copied()
    };
    let default = study.trials.iter().find(|trial| trial.default_params);
    let default = default.and_then(|trial| trial.value);
    let best = incumbent(study).and_then(|trial| trial.value);
    let r#final = reported(&study.metric);
    let tested = children.iter().flat_map(|node| &node.metrics);
    let tested = tested.filter_map(|(name, value)| Some((name.strip_prefix("test_")?, *value)));
    let others = tested.filter(|(name, _)| *name != study.metric);
    let also = others
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let relative = |(from, to): (f64, f64)| {
        let better = if study.goal == "maximize" {
            to - from
        } else {
            from - to
        };
        (from != 0.0).then(|| 100.0 * better / from.abs())
    };
    Gain {
        label: region.unwrap_or_else(|| study.node.clone()),
        node: study.node.clone(),
        metric: study.metric.clone(),
        goal: study.goal.clone(),
        default,
        best,
        r#final,
        final_test: reported(&format!("test_{}", study.metric)),
        final_test_also: also,
        gain_percent: default.zip(best).and_then(relative),
        parameters: incumbent(study).map(params_text).unwrap_or_default(),
        models: children
            .iter()
            .flat_map(|node| models(node, typed))
            .collect(),
    }
}

/// The models that a node's job brought back; where nothing is one by its name, the first file.
fn models(node: &wire::Node, typed: &str) -> Vec<String> {
    let is_model = |path: &&String| path.ends_with(MODEL_SUFFIX);
    let models: Vec<&String> = node.outputs.iter().filter(is_model).collect();
    let chosen = if models.is_empty() {
        node.outputs.iter().take(1).collect()
    } else {
        models
    };
    chosen
        .into_iter()
        .map(|path| dags::files::join(typed, path))
        .collect()
}

/// Says of each failed node why, and what its job said last.
///
/// # Errors
/// As any question has them.
pub async fn complain_of_failures(client: &Client, run: &wire::Run) -> Result<(), Failure> {
    let failed: Vec<&wire::Node> = run
        .nodes
        .iter()
        .filter(|node| node.status == "Failed")
        .collect();
    for (at, node) in failed.iter().enumerate() {
        complain(&format!(
            "error: {} failed: {}",
            one_line(&node.name),
            one_line(&node.reason)
        ));
        if at >= SHOWN_MAX {
            continue;
        }
        if let Some(job) = failed_job(client, run.id, node).await? {
            for line in last_lines(client, &job).await? {
                complain(&format!("  | {line}"));
            }
        }
    }
    let futile = run.counts.unwrap_or_default().futile;
    if futile > 0 {
        complain(&format!(
            "{} behind it cannot run",
            count(u64::from(futile), "node")
        ));
    }
    Ok(())
}

/// The job whose failure a node's failure is.
async fn failed_job(
    client: &Client,
    run: u32,
    node: &wire::Node,
) -> Result<Option<String>, Failure> {
    if node.kind == "study" {
        let request = wire::StudiesRequest {
            run,
            node: node.name.clone(),
        };
        let studies = client.studies(request).await?.studies;
        let trials = studies.iter().flat_map(|study| &study.trials);
        let mut failed = trials.filter(|trial| trial.status == "Failed" && !trial.job.is_empty());
        return Ok(failed.next_back().map(|trial| trial.job.clone()));
    }
    let whole = match (node.cluster, node.subrun) {
        (0, 0) => return Ok(None),
        (0, subrun) => subrun,
        (cluster, _) => cluster,
    };
    let request = wire::JobsRequest {
        ids: vec![whole.to_string()],
        which: wire::Which::Ended.into(),
        limit: JOBS_MAX,
        ..wire::JobsRequest::default()
    };
    let jobs = client.jobs(request).await?.jobs;
    Ok(jobs
        .into_iter()
        .find(|job| !job.succeeded && job.attempts > 0)
        .map(|job| job.id))
}

/// The end of a job's standard error. That it has none is no failure.
async fn last_lines(client: &Client, job: &str) -> Result<Vec<String>, Failure> {
    let request = wire::LogsRequest {
        job: job.to_owned(),
        stderr: true,
        follow: false,
    };
    let mut chunks = match client.logs(request).await {
        Ok(chunks) => chunks,
        Err(Failure::NotFound(_) | Failure::Work(_)) => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let mut tail: Vec<u8> = Vec::new();
    while let Some(chunk) = client.next(&mut chunks).await? {
        tail.extend_from_slice(&chunk.bytes);
        let over = tail.len().saturating_sub(STDERR_BYTES_MAX);
        tail.drain(..over);
    }
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(STDERR_LINES_MAX);
    Ok(lines[first..].iter().map(|line| one_line(line)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn study(goal: &str, default: f64, best: f64) -> wire::Study {
        let trial = |number, value, default_params| wire::Trial {
            number,
            value: Some(value),
            default_params,
            params: vec![wire::Param {
                name: "lr".into(),
                json: "0.01".into(),
            }],
            ..wire::Trial::default()
        };
        wire::Study {
            node: "tune-de".into(),
            metric: "rmse".into(),
            goal: goal.into(),
            trials: vec![trial(0, default, true), trial(1, best, false)],
            incumbent: Some(1),
            ..wire::Study::default()
        }
    }

    fn run(metrics: &[(&str, f64)], outputs: &[&str]) -> wire::Run {
        let node = |name: &str, parent: &str| wire::Node {
            name: name.into(),
            parents: vec![parent.into()],
            macros: BTreeMap::from([("region".into(), "de".into())]),
            ..wire::Node::default()
        };
        let model = wire::Node {
            metrics: metrics
                .iter()
                .map(|(name, value)| ((*name).into(), *value))
                .collect(),
            outputs: outputs.iter().map(|path| (*path).into()).collect(),
            ..node("train-de", "tune-de")
        };
        wire::Run {
            nodes: vec![node("tune-de", "prep-de"), model],
            ..wire::Run::default()
        }
    }

    #[test]
    fn gains_are_counted_towards_the_better() {
        let rows = [
            ("minimize", 1.0, 0.9, Some(10.0)),
            ("maximize", 0.5, 0.6, Some(20.0)),
            ("maximize", 0.5, 0.4, Some(-20.0)),
            ("minimize", -2.0, -3.0, Some(50.0)),
            ("minimize", 0.0, 0.0, None),
        ];
        for (goal, default, best, expected) in rows {
            // The final model was given more, so it does not count.
            let gain = gain(&study(goal, default, best), &run(&[("rmse", 0.1)], &[]), "");
            let percent = gain.gain_percent.map(|percent| percent.round());
            assert_eq!(percent, expected, "{goal} {default} {best}");
        }
    }

    #[test]
    fn the_model_is_found_by_its_name() {
        let run = run(
            &[("rmse", 0.8), ("test_rmse", 0.85), ("test_r2", 0.5)],
            &["m/de.json", "m/de.safetensors"],
        );
        let gain = gain(&study("minimize", 1.0, 0.9), &run, "dags");
        assert_eq!(gain.models, ["dags/m/de.safetensors"]);
        assert_eq!((gain.label.as_str(), gain.final_test), ("de", Some(0.85)));
        assert_eq!(gain.parameters, "lr=0.01");
        let text = text(&run, &[gain], 1000);
        assert!(
            text.contains("+10.0 %")
                && text.contains("r2=0.5")
                && text.contains("dags/m/de.safetensors"),
            "{text}"
        );
    }
}
