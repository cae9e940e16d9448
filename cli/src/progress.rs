//! What is shown while a DAG runs: on a terminal one block that is drawn anew, elsewhere one line
//! an event. Always with the node's name, never with a bare job number. Goes to standard error:
//! standard output is for the result.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::wire;

use crate::client::Client;
use crate::exit::Failure;
use crate::output::{complain, cut, one_line, time, width_of_stderr};
use crate::verbs::{dag, study};

/// Cells of a study's bar.
const BAR_CELLS: usize = 10;
/// Lines of the block: it must fit the terminal, or it cannot be drawn anew.
const LINES_MAX: usize = 16;

/// How often the block is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(300);
/// How often one looks where nothing is drawn, to see whether anything can still run.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Jobs of one look.
const JOBS_MAX: u32 = 500;

/// The kind of event with which a job's own reports come.
const PROGRESS: &str = "progress";

/// How a run stands.
pub struct Snapshot {
    pub run: wire::Run,
    pub studies: Vec<wire::Study>,
    /// Those in the queue, the oldest first.
    pub jobs: Vec<wire::Job>,
    /// How many of them there are, as far as is known.
    pub seen: Seen,
}

/// Whether a look saw all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    All,
    Some,
}

/// What is shown, and when it began.
pub struct Progress {
    file: String,
    started: Instant,
    started_ms: u64,
    /// The last event that was shown.
    seen: u64,
    place: Place,
}

enum Place {
    /// A block on a terminal.
    Block(ProgressBar),
    Lines,
}

impl Snapshot {
    /// Asks the manager.
    ///
    /// # Errors
    /// As any question has them.
    pub async fn take(client: &Client, id: u32) -> Result<Snapshot, Failure> {
        let run = client.run(id).await?;
        let studies = client.studies_of(&run).await?;
        let request = wire::JobsRequest {
            ids: vec![id.to_string()],
            which: wire::Which::Queued.into(),
            limit: JOBS_MAX,
            ..wire::JobsRequest::default()
        };
        let reply = client.jobs(request).await?;
        let seen = if reply.truncated {
            Seen::Some
        } else {
            Seen::All
        };
        Ok(Snapshot {
            run,
            studies,
            jobs: reply.jobs,
            seen,
        })
    }
}

impl Progress {
    pub fn start(file: &Path) -> Progress {
        let place = match width_of_stderr() {
            Some(_) => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.set_style(
                    ProgressStyle::with_template("{msg}").expect("the template is fixed"),
                );
                Place::Block(bar)
            }
            None => Place::Lines,
        };
        let file = file.display().to_string();
        Progress {
            file,
            started: Instant::now(),
            started_ms: time::now_ms(),
            seen: 0,
            place,
        }
    }

    /// How often it is worth to look how the run stands.
    pub fn interval(&self) -> Duration {
        match &self.place {
            Place::Block(_) => DRAW_INTERVAL,
            Place::Lines => LOOK_INTERVAL,
        }
    }

    /// The last event that was shown, to watch on from there.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes note of an event. Those of before this start are history.
    pub fn event(&mut self, event: &wire::Event) {
        self.seen = self.seen.max(event.sequence);
        if event.at_ms < self.started_ms {
            return;
        }
        match &self.place {
            Place::Block(_) => {}
            // What jobs report of themselves on their way would drown the rest.
            Place::Lines if event.kind == PROGRESS => {}
            Place::Lines => {
                let after = time::span(event.at_ms - self.started_ms);
                complain(&format!("{after:>8}  {}", event_line(event, &self.file)));
            }
        }
    }

    /// Says something that stays.
    pub fn note(&self, line: &str) {
        let line = one_line(line);
        match &self.place {
            Place::Block(bar) => bar.println(line),
            Place::Lines => complain(&line),
        }
    }

    /// Draws the block anew; where there is none, lines have said it.
    pub fn draw(&self, snapshot: &Snapshot) {
        let Place::Block(bar) = &self.place else {
            return;
        };
        let width = width_of_stderr().unwrap_or(usize::MAX).saturating_sub(1);
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let block = block(snapshot, &self.file, elapsed_ms, time::now_ms());
        let lines: Vec<String> = block.iter().map(|line| cut(line, width)).collect();
        bar.set_message(lines.join("\n"));
        bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Place::Block(bar) = &self.place {
            bar.finish_and_clear();
        }
    }
}

/// The manager's sentence, which begins with the names; made up only where it says nothing.
fn event_line(event: &wire::Event, file: &str) -> String {
    if !event.text.is_empty() {
        return one_line(&event.text);
    }
    let name = if event.node.is_empty() {
        file
    } else {
        &event.node
    };
    let trial = event
        .trial
        .map(|trial| format!(" trial {trial}"))
        .unwrap_or_default();
    one_line(&format!("{name}{trial}: {}", event.kind))
}

/// The header, then what runs, then what has to wait for a larger terminal.
fn block(snapshot: &Snapshot, file: &str, elapsed_ms: u64, now_ms: u64) -> Vec<String> {
    let counts = snapshot.run.counts.unwrap_or_default();
    let mut lines = vec![format!(
        "{file}  {}/{} nodes  {}  {}",
        counts.done,
        counts.total,
        dag::tally(&counts),
        time::span(elapsed_ms)
    )];
    let studies = snapshot
        .studies
        .iter()
        .filter(|study| study.status != "Waiting");
    let name_width = snapshot
        .studies
        .iter()
        .map(|study| study.node.chars().count())
        .max();
    let name_width = name_width.unwrap_or(0);
    lines.extend(studies.map(|study| study_line(study, name_width)));
    let running = |job: &&wire::Job| job.trial.is_none() && job.status != "Idle";
    lines.extend(
        snapshot
            .jobs
            .iter()
            .filter(running)
            .map(|job| job_line(job, now_ms)),
    );
    if lines.len() > LINES_MAX {
        let more = lines.len() - (LINES_MAX - 1);
        lines.truncate(LINES_MAX - 1);
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// `tune-de  ######....  6/10  best rmse 0.8714`
fn study_line(study: &wire::Study, name_width: usize) -> String {
    let ended = study
        .trials
        .iter()
        .filter(|trial| trial.ended_ms.is_some())
        .count();
    let total = study.trials_total.max(1) as usize;
    let cells = (ended * BAR_CELLS / total).min(BAR_CELLS);
    let best = study::incumbent(study).and_then(|trial| trial.value);
    let best = match best {
        Some(value) => format!("best {} {}", one_line(&study.metric), study::number(value)),
        None => String::new(),
    };
    format!(
        "  {:name_width$}  {}{}  {ended}/{}  {best}",
        one_line(&study.node),
        "#".repeat(cells),
        ".".repeat(BAR_CELLS - cells),
        study.trials_total,
    )
}

fn job_line(job: &wire::Job, now_ms: u64) -> String {
    let name = one_line(if job.node.is_empty() {
        &job.command
    } else {
        &job.node
    });
    match job.started_ms.filter(|_| job.status == "Running") {
        Some(start) => {
            format!(
                "  {name}  runs on {}, {}",
                job.worker,
                time::span(now_ms.saturating_sub(start))
            )
        }
        None => format!(
            "  {name}  {}  {}",
            job.status.to_lowercase(),
            one_line(&job.hold_reason)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(node: &str, ended: u32, total: u32, best: Option<f64>) -> wire::Study {
        let trial = |number| wire::Trial {
            number,
            value: best,
            ended_ms: Some(1),
            ..wire::Trial::default()
        };
        wire::Study {
            node: node.into(),
            metric: "rmse".into(),
            status: "Running".into(),
            trials_total: total,
            trials: (0..ended).map(trial).collect(),
            incumbent: best.map(|_| 0),
            ..wire::Study::default()
        }
    }

    #[test]
    fn a_block_names_what_runs() {
        let job = wire::Job {
            id: "9.0".into(),
            node: "prep-fr".into(),
            status: "Running".into(),
            worker: "local".into(),
            started_ms: Some(1000),
            ..wire::Job::default()
        };
        let trial = wire::Job {
            trial: Some(1),
            node: "tune-de".into(),
            ..job.clone()
        };
        let counts = wire::NodeCounts {
            total: 9,
            done: 3,
            running: 2,
            waiting: 4,
            ..Default::default()
        };
        let snapshot = Snapshot {
            run: wire::Run {
                counts: Some(counts),
                ..wire::Run::default()
            },
            studies: vec![
                study("tune-de", 6, 10, Some(0.871_41)),
                study("tune-france", 0, 10, None),
            ],
            jobs: vec![job, trial],
            seen: Seen::All,
        };
        let lines = block(&snapshot, "regions.dag", 42_000, 4000);
        assert_eq!(
            lines,
            [
                "regions.dag  3/9 nodes  3 done, 2 running, 4 waiting  42 s",
                "  tune-de      ######....  6/10  best rmse 0.8714",
                "  tune-france  ..........  0/10  ",
                "  prep-fr  runs on local, 3.0 s",
            ]
        );
    }

    #[test]
    fn a_block_fits_the_terminal() {
        let snapshot = Snapshot {
            run: wire::Run::default(),
            studies: (0..50)
                .map(|n| study(&format!("s{n}"), 1, 2, None))
                .collect(),
            jobs: Vec::new(),
            seen: Seen::All,
        };
        let lines = block(&snapshot, "x.dag", 0, 0);
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines.last().unwrap(), "  and 36 more");
    }

    #[test]
    fn events_carry_names() {
        let said = wire::Event {
            text: "tune-de runs".into(),
            ..wire::Event::default()
        };
        assert_eq!(event_line(&said, "x.dag"), "tune-de runs");
        let unsaid = wire::Event {
            node: "tune-de".into(),
            trial: Some(3),
            kind: "trial_ended".into(),
            ..wire::Event::default()
        };
        assert_eq!(event_line(&unsaid, "x.dag"), "tune-de trial 3: trial_ended");
        let of_run = wire::Event {
            kind: "run_ended".into(),
            ..wire::Event::default()
        };
        assert_eq!(event_line(&of_run, "x.dag"), "x.dag: run_ended");
    }
}
