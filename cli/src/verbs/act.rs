//! What people do to jobs: `hold`, `release`, `rm`, `vacate`, `prio`, `qedit`. One request, one
//! line an id.

use proto::nouns::Subject;
use proto::wire;
use proto::wire::act_request::Action;
use serde::Serialize;

use crate::args;
use crate::args::{Meant, PrioWord, QeditWord};
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
    let request = wire::ActRequest {
        reason: args.reason,
        ..meant(action, &args.ids, args.meant)
    };
    carry(&client, request, settings).await
}

pub async fn vacate(
    client: Client,
    args: args::Vacate,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let request = wire::ActRequest {
        worker: args.worker.map(|name| name.to_string()).unwrap_or_default(),
        fast: args.fast,
        ..meant(Action::Vacate, &args.ids, args.meant)
    };
    carry(&client, request, settings).await
}

pub async fn prio(client: Client, args: args::Prio, settings: &Settings) -> Result<Exit, Failure> {
    let mut ids = Vec::new();
    let mut changes = Vec::new();
    for word in args.words {
        match word {
            PrioWord::Id(id) => ids.push(id),
            PrioWord::By(by) => changes.push(wire::priority::Change::By(by)),
            PrioWord::To(to) => changes.push(wire::priority::Change::To(to)),
        }
    }
    let [change] = changes[..] else {
        let text = "name one change: +N, -N or =N, as in `updraft prio 12 +5`";
        return Err(Failure::Usage(text.to_owned()));
    };
    some_are_meant(&ids, &args.meant)?;
    let change = Some(change);
    let request = wire::ActRequest {
        priority: Some(wire::Priority { change }),
        ..meant(Action::Edit, &ids, args.meant)
    };
    carry(&client, request, settings).await
}

pub async fn qedit(
    client: Client,
    args: args::Qedit,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let mut ids = Vec::new();
    let mut edits = Vec::new();
    for word in args.words {
        match word {
            QeditWord::Id(id) => ids.push(id),
            QeditWord::Edit { name, value } => edits.push(wire::Edit { name, value }),
        }
    }
    if edits.is_empty() {
        let text = "name an attribute: ATTR=EXPR, as in `updraft qedit 12 RequestMemory=4096`";
        return Err(Failure::Usage(text.to_owned()));
    }
    some_are_meant(&ids, &args.meant)?;
    let request = wire::ActRequest {
        edits,
        ..meant(Action::Edit, &ids, args.meant)
    };
    carry(&client, request, settings).await
}

/// The grammar cannot tell ids from the other words.
fn some_are_meant(ids: &[Subject], meant: &Meant) -> Result<(), Failure> {
    match (ids.is_empty(), meant.all) {
        (true, _) if !meant.picks() => {
            let text = "name jobs: an ID, --constraint, --user or --all";
            Err(Failure::Usage(text.to_owned()))
        }
        (false, true) => Err(Failure::Usage("--all goes with no ID".to_owned())),
        (_, _) => Ok(()),
    }
}

fn meant(action: Action, ids: &[Subject], meant: Meant) -> wire::ActRequest {
    wire::ActRequest {
        action: action.into(),
        ids: ids.iter().map(ToString::to_string).collect(),
        constraint: meant.constraint.unwrap_or_default(),
        owners: meant.owners,
        all: meant.all,
        ..wire::ActRequest::default()
    }
}

async fn carry(
    client: &Client,
    request: wire::ActRequest,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let done = done(&request);
    let picked = request.ids.is_empty();
    let reply = client.act_on(request).await?;
    if picked && reply.acted.is_empty() {
        return Err(Failure::NotFound("no job in the queue is meant".to_owned()));
    }
    report(reply, done, settings)
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
            let running = match acted.running {
                0 => String::new(),
                1 => "; 1 runs, and it counts from its next start".to_owned(),
                n => format!("; {n} run, and it counts from their next start"),
            };
            output::print(&format!("{}: {jobs} {done}{running}\n", acted.id))?;
        }
    }
    if settings.format == Format::Json {
        let ids = reply.acted.into_iter().map(records::Acted::from).collect();
        output::print_json(&Document { ids })?;
    }
    Ok(exit)
}

fn done(request: &wire::ActRequest) -> &'static str {
    match request.action() {
        Action::Hold => "held",
        Action::Release => "released",
        Action::Remove => "removed",
        Action::Vacate => "vacated",
        Action::Edit if request.priority.is_some() => "given another priority",
        Action::Edit => "edited",
        Action::Unspecified => "unchanged",
    }
}
