//! `submit`: checks here, queues there, says the id.

mod dry;

use proto::nouns::Subject;
use proto::wire::Delivery;
use serde::Serialize;

use super::{ask, wait};
use crate::args;
use crate::client::Client;
use crate::client::bundle::Bundle;
use crate::client::inputs::{self, Found};
use crate::client::submit::Submitted;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, complain, count};
use crate::settings::Settings;

/// What `-o json` prints.
#[derive(Serialize)]
struct Document {
    /// The cluster or DAG run.
    id: u32,
    jobs: u64,
    /// 0 for a submit description.
    nodes: u32,
    warnings: Vec<String>,
    /// Whether outputs stay with the manager until `updraft fetch`.
    kept: bool,
}

pub fn run(args: args::Submit, settings: &Settings) -> Result<Exit, Failure> {
    if args.dry_run {
        return dry::run(&args, settings);
    }
    let bundle = Bundle::load_with(&args.file, &args.macros, &args.rescue.chosen())?;
    let found = inputs::find(&bundle)?;
    ask(settings, |client| {
        submit(client, bundle, found, args, settings)
    })
}

async fn submit(
    client: Client,
    bundle: Bundle,
    found: Found,
    args: args::Submit,
    settings: &Settings,
) -> Result<Exit, Failure> {
    let warnings_told = bundle.warnings;
    let submitted = client.submit(bundle, found).await?;
    if submitted.warnings.len() != warnings_told {
        // A manager of another version sees other things than our own check did.
        submitted
            .warnings
            .iter()
            .for_each(|warning| complain(warning.trim_end()));
    }
    if args.quiet {
        output::print(&format!("{}\n", submitted.id))?;
    } else {
        match settings.format {
            Format::Table => output::print(&told(&submitted))?,
            Format::Json => output::print_json(&Document {
                id: submitted.id,
                jobs: submitted.jobs,
                nodes: submitted.nodes,
                warnings: submitted.warnings.clone(),
                kept: submitted.delivery == Delivery::Keep,
            })?,
        }
    }
    if args.wait {
        // The id was said already: what follows is the exit code, and on standard error the
        // reasons.
        return wait::run_quietly(client, Subject::Whole(submitted.id)).await;
    }
    Ok(Exit::Ok)
}

fn told(submitted: &Submitted) -> String {
    let id = submitted.id;
    let (what, look) = if submitted.nodes > 0 {
        let nodes = count(u64::from(submitted.nodes), "node");
        (
            format!("DAG run {id}: {nodes}"),
            format!("updraft dag status {id}"),
        )
    } else {
        (
            format!("cluster {id}: {}", count(submitted.jobs, "job")),
            format!("updraft q {id}"),
        )
    };
    let kept = match submitted.delivery {
        Delivery::Keep => format!("  outputs:  updraft fetch {id}\n"),
        Delivery::Write | Delivery::Unspecified => String::new(),
    };
    format!(
        "{what}\n  look:     {look}\n  wait:     updraft wait {id}\n  \
         remove:   updraft rm {id}\n{kept}"
    )
}
