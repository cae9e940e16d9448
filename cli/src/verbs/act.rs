//! `hold`, `release`, `rm`: one request, one line an id.

use proto::wire;
use proto::wire::act_request::Action;
use serde::Serialize;

use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain, count, records};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    ids: Vec<records::Acted>,
}

pub async fn run(
    client: Client,
    action: Action,
    args: args::Act,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let ids = args.ids.iter().map(ToString::to_string).collect();
    let reply = client.act(action, ids, &args.reason).await?;
    report(reply, done(action), settings)
}

/// Prints what became of each id; the worst of them is the exit code.
pub fn report(reply: wire::ActReply, done: &str, settings: &Settings) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    for acted in &reply.acted {
        if acted.unknown {
            complain(&format!("error: there is no {} in the queue", acted.id));
            exit = Exit::NotFound;
        } else if !acted.error.is_empty() {
            complain(&format!("error: {}: {}", acted.id, acted.error));
            exit = if exit == Exit::Ok { Exit::Failed } else { exit };
        } else if settings.format == Format::Table {
            let jobs = count(acted.changed, "job");
            output::print(&format!("{}: {jobs} {done}\n", acted.id))?;
        }
    }
    if settings.format == Format::Json {
        let ids = reply.acted.into_iter().map(records::Acted::from).collect();
        output::print_json(&Document { ids })?;
    }
    Ok(exit)
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Hold => "held",
        Action::Release => "released",
        Action::Remove => "removed",
        Action::Unspecified => "unchanged",
    }
}
