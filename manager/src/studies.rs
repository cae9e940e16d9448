//! Studies: a thread that asks the optimizer which trial comes next. It is given everything it
//! needs with each question, and keeps nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use dags::study::{self as written, StudySpec};
use manager_core::{Command, Params, Question, TrialState};
use optimizer::{Config, Goal, Observation, Outcome, Param, ParamValue, Point, Scale, Space};

use crate::queue::QueueHandle;

/// The way to the thread. The queue knows which studies want trials, so that a crash asks again.
pub(crate) struct Studies {
    sender: Sender<Question>,
}

impl Studies {
    pub(crate) fn start(queue: QueueHandle) -> std::io::Result<Studies> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("studies".to_owned())
            .spawn(move || work(&receiver, &queue))?;
        Ok(Studies { sender })
    }

    pub(crate) fn ask(&self, question: Question) {
        let _ = self.sender.send(question);
    }
}

fn work(receiver: &Receiver<Question>, queue: &QueueHandle) {
    while let Ok(question) = receiver.recv() {
        let command = Command::Suggested {
            run: question.run,
            node: question.node,
            first: u32::try_from(question.history.len()).unwrap_or(u32::MAX),
            points: catch_unwind(AssertUnwindSafe(|| answer(&question)))
                .unwrap_or_else(|_| Err("it failed on this study's trials".to_owned())),
        };
        if queue.post_blocking(command).is_err() {
            return;
        }
    }
}

/// The points for the next trials. The same question has the same answer.
///
/// # Errors
/// The study's space is none that the optimizer can search.
pub fn answer(question: &Question) -> Result<Vec<Params>, String> {
    let spec = &question.spec;
    let config = config_of(spec, &question.name)?;
    let mut history = Vec::new();
    let mut pending = Vec::new();
    for (params, state) in &question.history {
        let point = point_of(spec, params);
        match state {
            TrialState::Pending => pending.push(point),
            TrialState::Value(value) => {
                history.push(Observation {
                    point,
                    outcome: Outcome::Value(*value),
                });
            }
            TrialState::Failed { .. } | TrialState::Forgiven { .. } => {
                history.push(Observation {
                    point,
                    outcome: Outcome::Failed,
                });
            }
        }
    }
    let first = question.history.len() as u64;
    let points = optimizer::suggest(&config, &history, &pending, first, question.count as usize);
    points.iter().map(|point| params_of(spec, point)).collect()
}

fn config_of(spec: &StudySpec, name: &str) -> Result<Config, String> {
    let params = spec.space.params.iter().map(param_of).collect();
    let space = Space::new(params).map_err(|error| error.to_string())?;
    let goal = match spec.goal {
        written::Goal::Minimize => Goal::Minimize,
        written::Goal::Maximize => Goal::Maximize,
    };
    let seed = seed_of(spec.seed, name);
    let mut config = Config::new(space, goal, seed, Some(spec.trials as usize));
    if let Some(startup) = spec.startup {
        config.startup = startup as usize;
    }
    config.prior = spec.defaults().map(|defaults| point_of(spec, &defaults));
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

/// Each study draws from a stream of its own: adding a region changes no other region's trials.
fn seed_of(seed: u64, name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(head)
}

fn param_of(param: &written::Param) -> Param {
    let scale = |scale: &written::Scale| match scale {
        written::Scale::Linear => Scale::Linear,
        written::Scale::Log => Scale::Log,
    };
    match &param.kind {
        written::ParamKind::Float {
            low,
            high,
            scale: s,
        } => Param::float(&param.name, *low, *high, scale(s)),
        written::ParamKind::Int {
            low,
            high,
            scale: s,
        } => Param::int(&param.name, *low, *high, scale(s)),
        written::ParamKind::Categorical { choices } => Param::categorical(
            &param.name,
            choices.iter().map(written::ParamValue::to_string),
        ),
    }
}

/// The optimizer knows choices by their printed form, which the study file keeps distinct.
fn point_of(spec: &StudySpec, params: &Params) -> Point {
    let value = |(param, (_, value)): (&written::Param, &(String, written::ParamValue))| match (
        &param.kind,
        value,
    ) {
        (written::ParamKind::Categorical { .. }, value) => ParamValue::Text(value.to_string()),
        (_, written::ParamValue::Int(number)) => ParamValue::Int(*number),
        (_, written::ParamValue::Float(number)) => ParamValue::Float(*number),
        (_, written::ParamValue::Bool(_) | written::ParamValue::Text(_)) => {
            ParamValue::Text(value.to_string())
        }
    };
    spec.space.params.iter().zip(params).map(value).collect()
}

fn params_of(spec: &StudySpec, point: &Point) -> Result<Params, String> {
    let pair = |(param, value): (&written::Param, &ParamValue)| {
        let value = match (&param.kind, value) {
            (written::ParamKind::Categorical { choices }, value) => {
                let text = match value {
                    ParamValue::Text(text) => text.clone(),
                    ParamValue::Int(number) => number.to_string(),
                    ParamValue::Float(number) => number.to_string(),
                };
                let choice = choices.iter().find(|choice| choice.to_string() == text);
                choice
                    .cloned()
                    .ok_or_else(|| format!("`{text}` is no choice of {}", param.name))?
            }
            (_, ParamValue::Int(number)) => written::ParamValue::Int(*number),
            (_, ParamValue::Float(number)) => written::ParamValue::Float(*number),
            (_, ParamValue::Text(text)) => written::ParamValue::Text(text.clone()),
        };
        Ok((param.name.clone(), value))
    };
    spec.space.params.iter().zip(point).map(pair).collect()
}
