//! `train`: the command line of the trainer in `kernels`, and the two files through which a trial
//! speaks.
//!
//! Every hyperparameter of [`PARAMETERS`] is a flag, so that a new one is named once. Numbers go
//! out on the declared channel, the file named by `UPDRAFT_METRICS`; what stands on standard output
//! is for people.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use kernels::train::{Metrics, PARAMETERS};
use kernels::{EpochMetrics, Inputs, Outcome, TrainError, TrainSettings};
use serde_json::{Map, Value};

use super::study::number;
use crate::args;
use crate::exit::{Exit, Failure};
use crate::output;

/// Names the file with a trial's parameters: one JSON object.
const PARAMS_VARIABLE: &str = "UPDRAFT_PARAMS";
/// Names the file to which metrics are reported: one JSON object a line.
const METRICS_VARIABLE: &str = "UPDRAFT_METRICS";
/// A parameter file is small; a larger one is some other file.
const PARAMS_BYTES_MAX: u64 = 1 << 20;

/// The hyperparameters that were given as flags, by name, as text.
#[derive(Clone, Debug, Default)]
pub struct Hyperparameters(BTreeMap<String, Value>);

/// Trains; prints a line an epoch.
pub fn run(args: args::Train) -> Result<Exit, Failure> {
    let mut settings = TrainSettings::default();
    let refused = |error: kernels::train::SettingsError| Failure::Usage(error.to_string());
    settings
        .apply_params(&args.hyperparameters.0)
        .map_err(refused)?;
    if let Some(path) = std::env::var_os(PARAMS_VARIABLE).map(PathBuf::from) {
        let params = read_params(&path)?;
        settings
            .apply_params(&params)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    }
    let inputs = Inputs {
        train: args.train,
        validation: args.validation,
        test: args.test,
    };
    let mut report = Report::open()?;
    let mut failed = None;
    let outcome = kernels::train(
        &settings,
        &inputs,
        &mut |epoch| match output::print(&epoch_line(epoch)).and_then(|()| report.epoch(epoch)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                failed = Some(failure);
                ControlFlow::Break(())
            }
        },
    );
    if let Some(failure) = failed {
        return Err(failure);
    }
    let outcome = outcome.map_err(failure)?;
    if let Some(path) = &args.model {
        outcome
            .save_model(path)
            .map_err(|error| Failure::Work(error.to_string()))?;
    }
    if let Some(path) = &args.metrics {
        outcome
            .save_metrics(path)
            .map_err(|error| Failure::Work(error.to_string()))?;
    }
    report.outcome(&outcome)?;
    output::print(&outcome_lines(&outcome, args.model.as_deref()))?;
    Ok(Exit::Ok)
}

fn failure(error: TrainError) -> Failure {
    let text = error.to_string();
    match error {
        TrainError::Settings(_) | TrainError::Metric { .. } | TrainError::TooLarge { .. } => {
            Failure::Usage(text)
        }
        TrainError::Data(_) => Failure::Usage(text),
        TrainError::Device(_) | TrainError::Diverged { .. } => Failure::Work(text),
    }
}

fn read_params(path: &Path) -> Result<BTreeMap<String, Value>, Failure> {
    let wrong = |reason: String| {
        Failure::Usage(format!(
            "{} (named by {PARAMS_VARIABLE}): {reason}",
            path.display()
        ))
    };
    let bytes = std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if bytes > PARAMS_BYTES_MAX {
        let limit = format!("{bytes} bytes, more than {PARAMS_BYTES_MAX} (PARAMS_BYTES_MAX)");
        return Err(wrong(limit));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("not a JSON object: {error}")))
}

/// The metrics file, if there is one.
struct Report {
    file: Option<(PathBuf, File)>,
}

impl Report {
    fn open() -> Result<Report, Failure> {
        let Some(path) = std::env::var_os(METRICS_VARIABLE).map(PathBuf::from) else {
            return Ok(Report { file: None });
        };
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| {
                Failure::Usage(format!(
                    "{} (named by {METRICS_VARIABLE}): {error}",
                    path.display()
                ))
            })?;
        Ok(Report {
            file: Some((path, file)),
        })
    }

    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), Failure> {
        let mut line = numbers(&epoch.validation, "");
        line.insert("epoch".to_owned(), epoch.epoch.into());
        line.insert("train_loss".to_owned(), epoch.train_loss.into());
        line.insert("samples_per_s".to_owned(), epoch.samples_per_s.into());
        self.line(line)
    }

    /// The last line counts: the metrics of the weights that were kept.
    fn outcome(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let mut line = numbers(&outcome.validation, "");
        line.insert("best_epoch".to_owned(), outcome.best_epoch.into());
        line.insert("epochs".to_owned(), outcome.epochs.into());
        line.insert("samples_per_s".to_owned(), outcome.samples_per_s.into());
        if let Some(test) = &outcome.test {
            line.append(&mut numbers(test, "test_"));
        }
        self.line(line)
    }

    /// One write a line, so that whoever follows the file sees whole lines.
    fn line(&mut self, line: Map<String, Value>) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let text = Value::Object(line).to_string() + "\n";
        file.write_all(text.as_bytes())
            .map_err(|error| Failure::Work(format!("{}: {error}", path.display())))
    }
}

fn numbers(metrics: &Metrics, prefix: &str) -> Map<String, Value> {
    metrics
        .iter()
        .map(|(name, value)| (format!("{prefix}{name}"), Value::from(*value)))
        .collect()
}

fn epoch_line(epoch: &EpochMetrics) -> String {
    format!(
        "epoch {:>3}  loss {:>8}  {}  {:.1} s  {:.0} rows/s\n",
        epoch.epoch,
        number(epoch.train_loss),
        named(&epoch.validation),
        epoch.seconds,
        epoch.samples_per_s,
    )
}

fn outcome_lines(outcome: &Outcome, model: Option<&Path>) -> String {
    let mut text = format!(
        "best epoch {} of {}, {:.1} s on {}\nvalidation  {}\n",
        outcome.best_epoch,
        outcome.epochs,
        outcome.seconds,
        outcome.device,
        named(&outcome.validation),
    );
    if let Some(test) = &outcome.test {
        text.push_str(&format!("test        {}\n", named(test)));
    }
    if let Some(path) = model {
        text.push_str(&format!("model       {}\n", path.display()));
    }
    text
}

fn named(metrics: &Metrics) -> String {
    let pairs = metrics
        .iter()
        .map(|(name, value)| format!("{name} {}", number(*value)));
    pairs.collect::<Vec<_>>().join("  ")
}

impl clap::Args for Hyperparameters {
    fn augment_args(command: Command) -> Command {
        PARAMETERS.iter().fold(command, |command, parameter| {
            let default = match parameter.default {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            let flag = parameter.name.replace('_', "-");
            let arg = Arg::new(parameter.name)
                .help(format!("{}: {}{default}", parameter.help, parameter.range))
                .help_heading("Hyperparameters")
                .value_name("VALUE")
                .allow_negative_numbers(true)
                .long(flag.clone());
            // A flag may be spelled as the parameter is in a study file.
            let spelled = parameter.name != flag;
            command.arg(if spelled {
                arg.alias(parameter.name)
            } else {
                arg
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Hyperparameters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut hyperparameters = Hyperparameters::default();
        hyperparameters.update_from_arg_matches(matches)?;
        Ok(hyperparameters)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for parameter in PARAMETERS {
            if let Some(text) = matches.get_one::<String>(parameter.name) {
                self.0
                    .insert(parameter.name.to_owned(), Value::from(text.as_str()));
            }
        }
        Ok(())
    }
}
