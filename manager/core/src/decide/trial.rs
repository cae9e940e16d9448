//! Studies: when to ask for trials, what to do with the answer, and when a study is over.

use std::sync::Arc;

use crate::decide::Decision;
use crate::decide::node::{NOT_SUBMITTED, PartEnd};
use crate::effect::{Effect, Question};
use crate::event::{Event, Soft};
use crate::queue::Queue;
use crate::run::{NodeState, RunState};
use crate::study::{Asking, Params};

impl Queue {
    /// Asks for trials if a study wants some, or ends it.
    pub(crate) fn tune(&self, run: u32, node: u32) -> (Vec<Event>, Vec<Effect>) {
        let nothing = (Vec::new(), Vec::new());
        let Some(entry) = self.runs.get(&run) else {
            return nothing;
        };
        let Some(study) = entry.studies.get(&node) else {
            return nothing;
        };
        let Some(spec) = entry.dag.study_of(node) else {
            return nothing;
        };
        let running = entry.nodes[node as usize].state == NodeState::Running;
        if entry.state != RunState::Running || !running || study.asking == Asking::Asked {
            return nothing;
        }
        if study.ended(spec) {
            return self.end_study(run, node);
        }
        let count = study.wanted(spec);
        if count == 0 || study.gave_up(spec) {
            return nothing;
        }
        let history = study
            .trials
            .iter()
            .map(|trial| (trial.params.clone(), trial.state.clone()));
        let question = Question {
            run,
            node,
            name: entry.node_name(node).to_owned(),
            spec: Arc::new(spec.clone()),
            history: history.collect(),
            count,
        };
        let asked = Event::Soft(Soft::StudyAsked { run, node });
        (vec![asked], vec![Effect::Ask(Box::new(question))])
    }

    fn end_study(&self, run: u32, node: u32) -> (Vec<Event>, Vec<Effect>) {
        let entry = &self.runs[&run];
        let (study, spec) = (&entry.studies[&node], entry.dag.study_of(node));
        let max = spec.and_then(|spec| spec.failures_max);
        if let Some(max) = max.filter(|max| study.failed() > *max) {
            let failed = study.failed();
            let reason = format!(
                "{failed} trials failed, and failures_max is {max}; the last: {}",
                study.last_failure()
            );
            return self.jobs_over(run, node, PartEnd::failed(1, reason));
        }
        if entry.best_of(node).is_none() {
            let trials = study.trials.len();
            let reason = format!(
                "none of {trials} trials succeeded; the last {}",
                study.last_failure()
            );
            return self.jobs_over(run, node, PartEnd::failed(1, reason));
        }
        let mut deeds = self.jobs_over(run, node, PartEnd::well());
        deeds.1.extend(self.keep_best(run, node));
        deeds
    }

    /// The study's `best.json` as a blob: children may take it as an input.
    pub(crate) fn keep_best(&self, run: u32, node: u32) -> Option<Effect> {
        Some(Effect::Keep {
            bytes: self.best_json(run, node)?,
        })
    }

    /// The best parameters, as a JSON object.
    pub(crate) fn best_json(&self, run: u32, node: u32) -> Option<Vec<u8>> {
        let (_, _, trial) = self.runs.get(&run)?.best_of(node)?;
        Some(params_json(&trial.params).into_bytes())
    }
}

/// Parameters as one JSON object, in the space's order.
pub(crate) fn params_json(params: &Params) -> String {
    let pair = |(name, value): &(String, dags::study::ParamValue)| {
        let value = serde_json::to_string(value).expect("a parameter's value is a JSON scalar");
        format!("{}:{value}", serde_json::Value::from(name.as_str()))
    };
    format!(
        "{{{}}}",
        params.iter().map(pair).collect::<Vec<_>>().join(",")
    )
}

/// The optimizer's answer. One that does not fit the trials as they are is forgotten, and asked for
/// again.
pub(super) fn suggested(
    queue: &Queue,
    run: u32,
    node: u32,
    first: u32,
    points: Result<Vec<Params>, String>,
) -> Decision {
    let Some(entry) = queue.runs.get(&run) else {
        return Decision::new(Vec::new());
    };
    let (Some(study), Some(spec)) = (entry.studies.get(&node), entry.dag.study_of(node)) else {
        return Decision::new(Vec::new());
    };
    let mut effects = Vec::new();
    let mut events = vec![Event::Soft(Soft::StudyAnswered { run, node })];
    let running = entry.nodes[node as usize].state == NodeState::Running;
    if entry.state != RunState::Running || !running || study.trials.len() != first as usize {
        return Decision::new(events);
    }
    match points {
        Ok(points) => {
            let points = points.into_iter().take(study.wanted(spec) as usize);
            events.extend(points.map(|params| Event::TrialAdded { run, node, params }));
        }
        Err(reason) => {
            let reason = format!("the optimizer could not suggest a trial: {reason}");
            let deeds = queue.jobs_over(run, node, PartEnd::failed(NOT_SUBMITTED, reason));
            events.extend(deeds.0);
            effects.extend(deeds.1);
        }
    }
    Decision {
        effects,
        ..Decision::new(events)
    }
}
