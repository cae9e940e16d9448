//! How what somebody waits for has ended, or that it goes on.

use std::collections::{BTreeMap, BTreeSet};

use proto::nouns::Subject;
use proto::wire::follow_request::View;
use proto::wire::update::What;
use proto::wire::{self, FollowRequest, Standing};

use super::Client;
use super::follow::{Again, Go};
use crate::exit::Failure;

/// Jobs of one answer.
pub const JOBS_MAX: u32 = 1_000_000;

/// The kind of event with which jobs are held.
const HELD: &str = "held";

/// How one subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Going,
    /// With a word on how.
    Succeeded(String),
    /// With a sentence on what failed.
    Failed(String),
    Unknown,
}

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    Named(Vec<Subject>),
    /// Everything that is in the queue now.
    All,
}

impl Client {
    /// Waits until everything awaited has ended or something is unknown: then only that is
    /// answered. Outlives a restart of the manager. `held` is told of each job that is held, once.
    ///
    /// # Errors
    /// The manager is away for longer than a restart takes.
    pub async fn ended(
        &self,
        awaited: &Awaited,
        held: &mut dyn FnMut(&str),
    ) -> Result<Vec<(String, Fate)>, Failure> {
        let ids: Vec<String> = match awaited {
            Awaited::Named(subjects) => subjects.iter().map(ToString::to_string).collect(),
            // By their names: what ends while the manager is away would not be there any more.
            Awaited::All => self.going().await?,
        };
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = FollowRequest {
            ids: ids.clone(),
            view: View::Standings.into(),
            events: true,
            kinds: vec![HELD.to_owned()],
            until_ended: true,
            ..FollowRequest::default()
        };
        let mut waiting = Waiting {
            order: ids,
            fates: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        self.follow(request, Again::Anew, &mut |what| {
            Ok(waiting.take(what, held))
        })
        .await?;
        Ok(waiting.ended())
    }

    /// Everything that goes on now.
    async fn going(&self) -> Result<Vec<String>, Failure> {
        let request = FollowRequest {
            view: View::Standings.into(),
            until_ended: true,
            ..FollowRequest::default()
        };
        let mut ids = Vec::new();
        let mut take = |what| match what {
            What::Standing(standing) => {
                ids.push(standing.id);
                Ok(Go::On)
            }
            What::Marker(_) => Ok(Go::Enough),
            What::Batch(_) | What::Event(_) => Ok(Go::On),
        };
        self.follow(request, Again::Anew, &mut take).await?;
        Ok(ids)
    }
}

/// What is known so far.
struct Waiting {
    /// The ids in the order in which they are answered.
    order: Vec<String>,
    fates: BTreeMap<String, Fate>,
    told: BTreeSet<String>,
}

impl Waiting {
    fn take(&mut self, what: What, held: &mut dyn FnMut(&str)) -> Go {
        match what {
            What::Standing(standing) => self.stands(standing, held),
            What::Event(event) => {
                let name = event.text.strip_prefix("job ").unwrap_or(&event.text);
                let key = match event.job.as_str() {
                    "" => name.to_owned(),
                    job => job.to_owned(),
                };
                if self.told.insert(key) {
                    held(name);
                }
            }
            What::Marker(_) if self.fates.values().any(|fate| *fate == Fate::Unknown) => {
                return Go::Enough;
            }
            What::Marker(_) | What::Batch(_) => {}
        }
        Go::On
    }

    fn stands(&mut self, standing: Standing, held: &mut dyn FnMut(&str)) {
        let Standing {
            id,
            state,
            text,
            held: jobs,
            held_total,
        } = standing;
        let named = jobs.len() as u64;
        for job in jobs {
            if self.told.insert(job.job.clone()) {
                held(&format!("{} is held: {}", job.job, job.reason));
            }
        }
        if held_total > named && self.told.insert(format!("{id} and more")) {
            held(&format!("{id}: {} more jobs are held", held_total - named));
        }
        let fate = match state.as_str() {
            "Succeeded" => Fate::Succeeded(text),
            "Failed" => Fate::Failed(text),
            "Unknown" => Fate::Unknown,
            _ => Fate::Going,
        };
        self.fates.insert(id, fate);
    }

    fn ended(self) -> Vec<(String, Fate)> {
        let unknown = self.fates.values().any(|fate| *fate == Fate::Unknown);
        let fate = |id: String| {
            let fate = self.fates.get(&id)?.clone();
            Some((id, fate))
        };
        let all = self.order.into_iter().filter_map(fate);
        all.filter(|(_, fate)| !unknown || *fate == Fate::Unknown)
            .collect()
    }
}

/// How a job that has ended did so, in words: the manager's where it gives a reason.
pub fn how_it_ended(job: &wire::Job) -> String {
    match (job.status.as_str(), job.exit_code, job.exit_signal) {
        ("Removed", _, _) if job.removed_reason.is_empty() => "removed".to_owned(),
        ("Removed", _, _) => format!("removed: {}", job.removed_reason),
        (_, _, _) if !job.hold_reason.is_empty() => job.hold_reason.clone(),
        (_, _, Some(signal)) => format!("ended by signal {signal}"),
        (_, Some(code), None) => format!("exit code {code}"),
        (_, None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(id: &str, state: &str, held: &[&str], held_total: u64) -> What {
        let job = |job: &&str| wire::HeldJob {
            job: (*job).to_owned(),
            reason: "coffee".to_owned(),
        };
        What::Standing(Standing {
            id: id.to_owned(),
            state: state.to_owned(),
            text: "so".to_owned(),
            held: held.iter().map(job).collect(),
            held_total,
        })
    }

    fn waiting(ids: &[&str]) -> Waiting {
        Waiting {
            order: ids.iter().map(|id| (*id).to_owned()).collect(),
            fates: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    #[test]
    fn what_is_held_is_said_once() {
        let mut told = Vec::new();
        let mut waiting = waiting(&["1", "2"]);
        let mut held = |line: &str| told.push(line.to_owned());
        let event = What::Event(wire::Event {
            job: "1.0".to_owned(),
            text: "job 1.0 is held: tea".to_owned(),
            ..wire::Event::default()
        });
        for what in [
            standing("1", "Going", &["1.0", "1.1"], 5),
            event,
            standing("1", "Going", &["1.0", "1.1"], 5),
            standing("2", "Succeeded", &[], 0),
            standing("1", "Failed", &[], 0),
        ] {
            assert_eq!(waiting.take(what, &mut held), Go::On);
        }
        assert_eq!(
            told,
            [
                "1.0 is held: coffee",
                "1.1 is held: coffee",
                "1: 3 more jobs are held"
            ]
        );
        let fates = [
            ("1".to_owned(), Fate::Failed("so".to_owned())),
            ("2".to_owned(), Fate::Succeeded("so".to_owned())),
        ];
        assert_eq!(waiting.ended(), fates);
    }

    #[test]
    fn what_is_unknown_ends_the_wait_for_all() {
        let mut waiting = waiting(&["1", "9"]);
        let mut held = |_: &str| {};
        waiting.take(standing("1", "Going", &[], 0), &mut held);
        waiting.take(standing("9", "Unknown", &[], 0), &mut held);
        let marker = What::Marker(wire::Marker { sequence: 3 });
        assert_eq!(waiting.take(marker, &mut held), Go::Enough);
        assert_eq!(waiting.ended(), [("9".to_owned(), Fate::Unknown)]);
    }
}
