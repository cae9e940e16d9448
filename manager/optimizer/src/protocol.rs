//! A study over lines of JSON: one request, one reply.
//!
//! | request | reply |
//! | --- | --- |
//! | `{"space": {name: {"type", "low", "high", "log"?, "step"?, "choices"?}}, "goal"?, "seed"?, "budget"?, "noisy"?, "prior"?}` | `{"ok": true}` |
//! | `{"ask": 1}` | `{"trials": [{"id": 0, "params": {…}}]}` |
//! | `{"tell": {"id": 0, "value": 1.5}}`, or `"failed": true` in place of the value | `{"ok": true}` |
//! | `{"best": "observed"}` or `{"best": "recommended"}` | `{"best": {"id", "params", "value"}}`, or null |
//!
//! `type` is `float`, `int` or `categorical`; parameters keep the order they are written in. `goal`
//! is `minimize` or `maximize`. `noisy` is false for exact values, true for scattered ones, and
//! absent if nobody knows. A `tell` may carry `curve` and `cost`, which change nothing. Errors come
//! as `{"error": text}` and leave the study as it was.
//!
//! Holds the words of the protocol. Refuses to read or write anything itself.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{Config, Goal, Noise, Outcome};
use crate::point::{ParamValue, PointError};
use crate::space::{Param, ParamKind, Scale, Space, SpaceError};
use crate::study::{Best, Study, StudyError};
use crate::suggest::SUGGESTIONS_MAX;

/// Longest request, in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// One conversation: at most one study.
#[derive(Clone, Debug, Default)]
pub struct Session {
    study: Option<Study>,
}

impl Session {
    /// Answers one line (without or with its line end) by one line without a line end.
    pub fn line(&mut self, line: &str) -> String {
        let reply = self
            .answer(line)
            .unwrap_or_else(|fault| Reply::Error(explain(&fault)));
        serde_json::to_string(&reply).expect("replies hold only strings, finite numbers and lists")
    }

    fn answer(&mut self, line: &str) -> Result<Reply, Fault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Fault::LineTooLong { bytes: line.len() });
        }
        match serde_json::from_str::<Request>(line)? {
            Request {
                space: Some(space),
                ask: None,
                tell: None,
                best: None,
                options,
            } => self.begin(space, options),
            Request {
                space: None,
                ask: Some(count),
                tell: None,
                best: None,
                options,
            } => {
                options.refuse()?;
                self.ask(count)
            }
            Request {
                space: None,
                ask: None,
                tell: Some(tell),
                best: None,
                options,
            } => {
                options.refuse()?;
                self.tell(&tell)
            }
            Request {
                space: None,
                ask: None,
                tell: None,
                best: Some(which),
                options,
            } => {
                options.refuse()?;
                self.best(which)
            }
            Request { .. } => Err(Fault::NotOneRequest),
        }
    }

    fn begin(&mut self, space: WireSpace, options: Options) -> Result<Reply, Fault> {
        if self.study.is_some() {
            return Err(Fault::BegunTwice);
        }
        let params = space
            .0
            .into_iter()
            .map(WireParam::read)
            .collect::<Result<_, _>>()?;
        options.refuse_others()?;
        let space = Space::new(params)?;
        let prior = options
            .prior
            .as_ref()
            .map(|prior| space.point(prior))
            .transpose()?;
        let goal = options.goal.unwrap_or_default();
        let mut config = Config::new(space, goal, options.seed.unwrap_or(0), options.budget);
        config.prior = prior;
        config.noise = match options.noisy {
            None => Noise::Unknown,
            Some(false) => Noise::Exact,
            Some(true) => Noise::Noisy,
        };
        self.study = Some(Study::new(config)?);
        Ok(Reply::Ok(true))
    }

    fn ask(&mut self, count: usize) -> Result<Reply, Fault> {
        let study = self.study.as_mut().ok_or(Fault::NotBegun)?;
        if !(1..=SUGGESTIONS_MAX).contains(&count) {
            return Err(Fault::AskCount { count });
        }
        let trials = study.ask(count);
        if trials.is_empty() {
            return Err(Fault::Study(StudyError::TooManyTrials));
        }
        let space = &study.config().space;
        let name = |trial: crate::Trial| WireTrial {
            id: trial.id,
            params: space.named(&trial.point),
        };
        Ok(Reply::Trials(trials.into_iter().map(name).collect()))
    }

    fn tell(&mut self, tell: &Tell) -> Result<Reply, Fault> {
        let study = self.study.as_mut().ok_or(Fault::NotBegun)?;
        let outcome = match (tell.value, tell.failed) {
            (Some(value), None | Some(false)) => Outcome::Value(value),
            (None, Some(true)) => Outcome::Failed,
            (Some(_), Some(true)) | (None, None | Some(false)) => return Err(Fault::NoOutcome),
        };
        study.tell(tell.id, outcome)?;
        Ok(Reply::Ok(true))
    }

    fn best(&self, which: Which) -> Result<Reply, Fault> {
        let study = self.study.as_ref().ok_or(Fault::NotBegun)?;
        let best = match which {
            Which::Observed => study.best(),
            Which::Recommended => study.incumbent(),
        };
        let name = |best: Best| WireBest {
            id: best.id,
            params: study.config().space.named(&best.point),
            value: best.value,
        };
        Ok(Reply::Best(best.map(name)))
    }
}

#[derive(Deserialize)]
struct Request {
    space: Option<WireSpace>,
    ask: Option<usize>,
    tell: Option<Tell>,
    best: Option<Which>,
    #[serde(flatten)]
    options: Options,
}

/// What may stand beside `space`.
#[derive(Deserialize)]
struct Options {
    goal: Option<Goal>,
    seed: Option<u64>,
    budget: Option<usize>,
    noisy: Option<bool>,
    prior: Option<BTreeMap<String, ParamValue>>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tell {
    id: u64,
    value: Option<f64>,
    failed: Option<bool>,
    #[serde(rename = "curve")]
    _curve: Option<IgnoredAny>,
    #[serde(rename = "cost")]
    _cost: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Which {
    Observed,
    Recommended,
}

/// Parameters in the order they are written.
struct WireSpace(Vec<(String, WireParam)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireParam {
    #[serde(rename = "type")]
    kind: WireKind,
    low: Option<f64>,
    high: Option<f64>,
    log: Option<bool>,
    step: Option<f64>,
    choices: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireKind {
    Float,
    Int,
    Categorical,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Ok(bool),
    Trials(Vec<WireTrial>),
    Best(Option<WireBest>),
    Error(String),
}

#[derive(Serialize)]
struct WireTrial {
    id: u64,
    params: BTreeMap<String, ParamValue>,
}

#[derive(Serialize)]
struct WireBest {
    id: u64,
    params: BTreeMap<String, ParamValue>,
    value: f64,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the line has {bytes} bytes; at most {LINE_BYTES_MAX} are allowed")]
    LineTooLong { bytes: usize },
    #[error("the line is not a request")]
    Json(#[from] serde_json::Error),
    #[error("a request has exactly one of \"space\", \"ask\", \"tell\" and \"best\"")]
    NotOneRequest,
    #[error("unexpected field {name:?}")]
    UnexpectedField { name: String },
    #[error("the study has begun already")]
    BegunTwice,
    #[error("send \"space\" first")]
    NotBegun,
    #[error("ask for 1 to {SUGGESTIONS_MAX} trials, not {count}")]
    AskCount { count: usize },
    #[error("tell either a \"value\" or \"failed\": true")]
    NoOutcome,
    #[error("parameter {name:?} needs {field:?}")]
    MissingField { name: String, field: &'static str },
    #[error("parameter {name:?} cannot have {field:?}")]
    ExtraField { name: String, field: &'static str },
    #[error("parameter {name:?}: {field} {found} is not a whole number")]
    NotWhole {
        name: String,
        field: &'static str,
        found: f64,
    },
    #[error(transparent)]
    Space(#[from] SpaceError),
    #[error("the prior does not belong to the space")]
    Prior(#[from] PointError),
    #[error(transparent)]
    Study(#[from] StudyError),
}

impl Options {
    /// Only `space` has options.
    fn refuse(&self) -> Result<(), Fault> {
        let given = [
            ("goal", self.goal.is_some()),
            ("seed", self.seed.is_some()),
            ("budget", self.budget.is_some()),
            ("noisy", self.noisy.is_some()),
            ("prior", self.prior.is_some()),
        ];
        let named = given
            .iter()
            .find(|(_, given)| *given)
            .map(|(name, _)| (*name).to_owned());
        match named {
            Some(name) => Err(Fault::UnexpectedField { name }),
            None => self.refuse_others(),
        }
    }

    fn refuse_others(&self) -> Result<(), Fault> {
        match self.others.keys().next() {
            Some(name) => Err(Fault::UnexpectedField { name: name.clone() }),
            None => Ok(()),
        }
    }
}

impl WireParam {
    fn read((name, wire): (String, WireParam)) -> Result<Param, Fault> {
        let kind = match wire.kind {
            WireKind::Float => {
                wire.refuse_choices(&name)?;
                let low = require(&name, "low", wire.low)?;
                let high = require(&name, "high", wire.high)?;
                ParamKind::Float {
                    low,
                    high,
                    scale: wire.scale(),
                    step: wire.step,
                }
            }
            WireKind::Int => {
                wire.refuse_choices(&name)?;
                let low = whole(&name, "low", require(&name, "low", wire.low)?)?;
                let high = whole(&name, "high", require(&name, "high", wire.high)?)?;
                let step = wire
                    .step
                    .map(|step| whole(&name, "step", step))
                    .transpose()?;
                ParamKind::Int {
                    low,
                    high,
                    scale: wire.scale(),
                    step,
                }
            }
            WireKind::Categorical => {
                let extra = [
                    ("low", wire.low.is_some()),
                    ("high", wire.high.is_some()),
                    ("log", wire.log.is_some()),
                    ("step", wire.step.is_some()),
                ];
                if let Some((field, _)) = extra.into_iter().find(|(_, given)| *given) {
                    return Err(Fault::ExtraField { name, field });
                }
                ParamKind::Categorical {
                    choices: require(&name, "choices", wire.choices)?,
                }
            }
        };
        Ok(Param { name, kind })
    }

    fn scale(&self) -> Scale {
        match self.log {
            Some(true) => Scale::Log,
            Some(false) | None => Scale::Linear,
        }
    }

    fn refuse_choices(&self, name: &str) -> Result<(), Fault> {
        match self.choices {
            Some(_) => Err(Fault::ExtraField {
                name: name.to_owned(),
                field: "choices",
            }),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for WireSpace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireSpace, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = WireSpace;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireSpace, A::Error> {
                let mut params = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    params.push(entry);
                }
                Ok(WireSpace(params))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn require<T>(name: &str, field: &'static str, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::MissingField {
        name: name.to_owned(),
        field,
    })
}

fn whole(name: &str, field: &'static str, found: f64) -> Result<i64, Fault> {
    if found.fract() == 0.0 && found.abs() <= crate::space::INT_MAGNITUDE_MAX as f64 {
        Ok(found as i64)
    } else {
        Err(Fault::NotWhole {
            name: name.to_owned(),
            field,
            found,
        })
    }
}

/// An error with its sources, on one line.
fn explain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
