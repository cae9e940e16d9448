//! `wait`: blocks until everything named has ended, and says by its exit code how.

use std::time::Duration;

use proto::nouns::Subject;
use serde::Serialize;

use crate::client::Client;
use crate::client::fate::Fate;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain};
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
    ids: Vec<Subject>,
    timeout_s: Option<f64>,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let fates = match timeout_s {
        None => client.ended(&ids).await?,
        Some(seconds) => {
            let waiting =
                tokio::time::timeout(Duration::from_secs_f64(seconds), client.ended(&ids));
            waiting.await.map_err(|_| Failure::NotYet(seconds))??
        }
    };
    if settings.format == Format::Json {
        let ids = fates.iter().map(|(id, fate)| ended(*id, fate)).collect();
        output::print_json(&Document { ids })?;
    }
    let mut exit = Exit::Ok;
    for (id, fate) in fates {
        match fate {
            Fate::Succeeded | Fate::Going => {}
            Fate::Failed(reason) => {
                complain(&reason);
                exit = if exit == Exit::Ok { Exit::Failed } else { exit };
            }
            Fate::Unknown => {
                complain(&format!("error: there is no {id}"));
                exit = Exit::NotFound;
            }
        }
    }
    Ok(exit)
}

fn ended(id: Subject, fate: &Fate) -> Ended {
    let reason = match fate {
        Fate::Succeeded | Fate::Going => None,
        Fate::Failed(reason) => Some(reason.clone()),
        Fate::Unknown => Some("unknown".to_owned()),
    };
    Ended {
        id: id.to_string(),
        succeeded: *fate == Fate::Succeeded,
        reason,
    }
}
