//! `watch`: what happens, as it happens; and `q --watch`, the batches as they change. Both print
//! what the manager's stream brings, and ask for nothing in between.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::wire::follow_request::View;
use proto::wire::update::What;
use proto::wire::{self, FollowRequest};
use serde::Serialize;

use super::q;
use crate::args;
use crate::client::Client;
use crate::client::follow::{Again, Go};
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, cut, one_line, records, time};
use crate::settings::Settings;

/// A line of `-o json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Batch(records::Batch),
    Marker {
        /// What follows happened after this event.
        sequence: u64,
    },
    Event(records::Happening),
}

pub async fn run(client: Client, args: args::Watch, settings: &Settings) -> Result<Exit, Failure> {
    let request = FollowRequest {
        ids: args.ids.iter().map(ToString::to_string).collect(),
        view: match args.after {
            None => View::Batches.into(),
            Some(_) => View::Unspecified.into(),
        },
        events: true,
        after: args.after,
        until_ended: !args.ids.is_empty(),
        ..FollowRequest::default()
    };
    if !args.ids.is_empty() {
        q::must_know(&client, &args.ids).await?;
    }
    let mut began = false;
    let mut take = |what: What| {
        match what {
            // What stands is said once; what changes it is said by the events.
            What::Batch(batch) if !began => say(Line::Batch(batch.into()), settings)?,
            What::Marker(marker) if !began => {
                began = true;
                let sequence = marker.sequence;
                say(Line::Marker { sequence }, settings)?;
            }
            What::Event(event) => say(Line::Event(event.into()), settings)?,
            What::Batch(_) | What::Marker(_) | What::Standing(_) => {}
        }
        Ok(Go::On)
    };
    client.follow(request, Again::Behind, &mut take).await?;
    Ok(Exit::Ok)
}

fn say(line: Line, settings: &Settings) -> Result<(), Failure> {
    if settings.format == Format::Json {
        let text = serde_json::to_string(&line);
        let text =
            text.map_err(|error| Failure::Internal(format!("cannot write JSON: {error}")))?;
        return output::print(&format!("{text}\n"));
    }
    let text = match line {
        Line::Batch(batch) => batch_line(&batch),
        Line::Marker { sequence } => format!("--- after event {sequence}"),
        Line::Event(event) => format!(
            "{:>8}  {}  {}",
            event.sequence,
            time::local(event.at_ms),
            one_line(&event.text)
        ),
    };
    output::print(&format!("{text}\n"))
}

/// `anna  regions.dag+12  3/9 done, 2 running, 4 idle`
fn batch_line(batch: &records::Batch) -> String {
    let (owner, name) = (one_line(&batch.owner), one_line(&batch.name));
    let mut text = format!("{owner}  {name}  {}/{} done", batch.done, batch.total);
    for (count, what) in [
        (batch.running, "running"),
        (batch.idle, "idle"),
        (batch.held, "held"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if batch.ended {
        text.push_str("; it has left the queue");
    }
    text
}

/// The batches, drawn anew on a terminal whenever one changed; elsewhere a line a change.
pub async fn batches(client: Client, args: args::Q, settings: &Settings) -> Result<Exit, Failure> {
    if !args.ids.is_empty() {
        q::must_know(&client, &args.ids).await?;
    }
    let request = FollowRequest {
        ids: args.ids.iter().map(ToString::to_string).collect(),
        owners: args.owners,
        view: View::Batches.into(),
        until_ended: !args.ids.is_empty(),
        ..FollowRequest::default()
    };
    let mut screen = Screen::new(settings.format);
    let mut take = |what: What| {
        screen.take(what)?;
        Ok(Go::On)
    };
    client.follow(request, Again::Anew, &mut take).await?;
    screen.end();
    Ok(Exit::Ok)
}

/// What `q --watch` shows.
struct Screen {
    batches: BTreeMap<(u64, String), wire::Batch>,
    place: Place,
    /// Whether a snapshot is coming in.
    phase: Phase,
}

enum Place {
    Block(ProgressBar),
    Lines,
    Json,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Snapshot,
    Changes,
}

impl Screen {
    fn new(format: Format) -> Screen {
        let place = match format {
            Format::Json => Place::Json,
            Format::Table if std::io::stdout().is_terminal() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
                bar.set_style(
                    ProgressStyle::with_template("{msg}").expect("the template is fixed"),
                );
                Place::Block(bar)
            }
            Format::Table => Place::Lines,
        };
        Screen {
            batches: BTreeMap::new(),
            place,
            phase: Phase::Snapshot,
        }
    }

    fn take(&mut self, what: What) -> Result<(), Failure> {
        match what {
            What::Batch(batch) => {
                let key = (batch.submitted_ms, batch.key.clone());
                match batch.ended {
                    true => self.batches.remove(&key),
                    false => self.batches.insert(key, batch.clone()),
                };
                self.changed(batch)
            }
            What::Marker(_) => {
                self.phase = Phase::Changes;
                self.draw();
                Ok(())
            }
            What::Standing(_) | What::Event(_) => Ok(()),
        }
    }

    fn changed(&mut self, batch: wire::Batch) -> Result<(), Failure> {
        let batch = records::Batch::from(batch);
        match &self.place {
            Place::Block(_) => {
                if self.phase == Phase::Changes {
                    self.draw();
                }
                Ok(())
            }
            Place::Lines => {
                let now = time::local(time::now_ms());
                output::print(&format!("{now}  {}\n", batch_line(&batch)))
            }
            Place::Json => {
                let text = serde_json::to_string(&Line::Batch(batch));
                let text =
                    text.map_err(|error| Failure::Internal(format!("cannot write JSON: {error}")))?;
                output::print(&format!("{text}\n"))
            }
        }
    }

    /// As many lines as the terminal holds, at most.
    fn draw(&self) {
        let Place::Block(bar) = &self.place else {
            return;
        };
        let batches: Vec<wire::Batch> = self.batches.values().cloned().collect();
        let width = output::width().unwrap_or(usize::MAX).saturating_sub(1);
        let height = output::height().unwrap_or(24).saturating_sub(1).max(2);
        let text = q::batches_text(&batches);
        let lines: Vec<String> = text.lines().map(|line| cut(line, width)).collect();
        let shown = lines.len().min(height);
        let mut lines: Vec<String> = lines.into_iter().take(shown).collect();
        if text.lines().count() > shown {
            let more = text.lines().count() - shown + 1;
            lines.pop();
            lines.push(format!("and {more} lines more"));
        }
        bar.set_message(lines.join("\n"));
        bar.tick();
    }

    /// What is on the terminal stays there.
    fn end(&self) {
        if let Place::Block(bar) = &self.place {
            bar.abandon();
        }
    }
}
