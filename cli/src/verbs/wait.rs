//! `wait`: blocks until everything awaited has ended, and says what each came to and by its exit
//! code how.

use std::time::Duration;

use proto::nouns::Subject;
use serde::Serialize;

use crate::client::Client;
use crate::client::fate::{Awaited, Fate};
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain, one_line};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    ids: Vec<Ended>,
}

/// One id that was waited for.
#[derive(Serialize)]
struct Ended {
    id: String,
    succeeded: bool,
    reason: Option<String>,
}

pub async fn run(
    client: Client,
    awaited: Awaited,
    timeout_s: Option<f64>,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let mut held = |line: &str| complain(&format!("{}; waiting goes on", one_line(line)));
    let ended = client.ended(&awaited, &mut held);
    let fates = match timeout_s {
        None => ended.await?,
        Some(seconds) => {
            let waiting = tokio::time::timeout(Duration::from_secs_f64(seconds), ended);
            waiting.await.map_err(|_| Failure::NotYet(seconds))??
        }
    };
    match settings.format {
        Format::Json => {
            let ids = fates.iter().map(|(id, fate)| ended_as(id, fate)).collect();
            output::print_json(&Document { ids })?;
        }
        Format::Table => {
            for (id, fate) in &fates {
                if let Fate::Succeeded(how) = fate {
                    output::print(&format!("{id}: {}\n", one_line(how)))?;
                }
            }
        }
    }
    Ok(judge(&fates))
}

/// Waits for one id; only what went wrong is said.
pub async fn run_quietly(client: Client, id: Subject) -> Result<Exit, Failure> {
    let mut held = |line: &str| complain(&format!("{}; waiting goes on", one_line(line)));
    let fates = client.ended(&Awaited::Named(vec![id]), &mut held).await?;
    Ok(judge(&fates))
}

/// Says what went wrong; the worst is the exit code.
fn judge(fates: &[(String, Fate)]) -> Exit {
    let mut exit = Exit::Ok;
    for (id, fate) in fates {
        match fate {
            Fate::Succeeded(_) | Fate::Going => {}
            Fate::Failed(reason) => {
                complain(&one_line(reason));
                exit = if exit == Exit::Ok { Exit::Failed } else { exit };
            }
            Fate::Unknown => {
                complain(&format!("error: there is no {id}"));
                exit = Exit::NotFound;
            }
        }
    }
    exit
}

fn ended_as(id: &str, fate: &Fate) -> Ended {
    let reason = match fate {
        Fate::Succeeded(_) | Fate::Going => None,
        Fate::Failed(reason) => Some(reason.clone()),
        Fate::Unknown => Some("unknown".to_owned()),
    };
    Ended {
        id: id.to_owned(),
        succeeded: matches!(fate, Fate::Succeeded(_)),
        reason,
    }
}
