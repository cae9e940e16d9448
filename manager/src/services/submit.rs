//! Submissions: texts are parsed and checked here, with the code that the client used, off the
//! queue's thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use dags::dag::Dag;
use dags::submit::{Macros, Submit};
use manager_core::{Command, Delivery, NewCluster, NewRun, Reply};
use proto::nouns::{Blob, RelPath, join_path};
use proto::wire::{self, SubmitReply, SubmitRequest};
use tonic::Status;

use super::Shared;
use super::queue::status_of;
use crate::settings::KEY_BYTES_MAX;

/// What is submitted, checked.
struct Checked {
    command: Command,
    jobs: u64,
    nodes: u32,
    warnings: Vec<String>,
}

/// Takes a submission in. Nothing of it is queued unless all of it is right.
pub(super) async fn submit(shared: &Shared, request: SubmitRequest) -> Result<SubmitReply, Status> {
    let files = files_of(shared, &request.files)?;
    let checking = tokio::task::spawn_blocking(move || check(request, files));
    let checked = checking
        .await
        .map_err(|error| Status::internal(error.to_string()))??;
    match shared.queue.carry(checked.command).await? {
        Ok(Reply::Submitted { id }) => {
            let Checked {
                jobs,
                nodes,
                warnings,
                ..
            } = checked;
            Ok(SubmitReply {
                id,
                jobs,
                nodes,
                warnings,
            })
        }
        Ok(Reply::Done | Reply::Acted { .. } | Reply::Drained { .. }) => Err(Status::internal(
            "a submission was answered with something else",
        )),
        Err(refusal) => Err(status_of(&refusal)),
    }
}

/// The files that the submission brings, each of which must have been uploaded.
fn files_of(shared: &Shared, files: &[wire::File]) -> Result<BTreeMap<String, Blob>, Status> {
    let mut found = BTreeMap::new();
    for file in files {
        let blob = file
            .blob
            .clone()
            .ok_or_else(|| Status::invalid_argument("a file without a blob"))?;
        let blob: Blob = blob.try_into()?;
        if !shared.blobs.contains(blob.digest) {
            let text = format!(
                "the input file {} was not uploaded ({})",
                file.path, blob.digest
            );
            return Err(Status::failed_precondition(text));
        }
        if file.path.len() > RelPath::LENGTH_MAX {
            let text = format!(
                "a path has at most {} bytes: {}",
                RelPath::LENGTH_MAX,
                file.path
            );
            return Err(Status::invalid_argument(text));
        }
        found.insert(join_path("", &file.path), blob);
    }
    Ok(found)
}

fn check(request: SubmitRequest, files: BTreeMap<String, Blob>) -> Result<Checked, Status> {
    if request.key.is_empty() || request.key.len() > KEY_BYTES_MAX {
        let text = format!("a submission needs a key of its own, of at most {KEY_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(text));
    }
    let delivery = match request.delivery() {
        wire::Delivery::Write => Delivery::Write,
        wire::Delivery::Unspecified | wire::Delivery::Keep => Delivery::Keep,
    };
    if request.main.to_ascii_lowercase().ends_with(".dag") {
        check_dag(request, files, delivery)
    } else {
        check_cluster(request, files, delivery)
    }
}

fn check_dag(
    request: SubmitRequest,
    files: BTreeMap<String, Blob>,
    delivery: Delivery,
) -> Result<Checked, Status> {
    let sources: BTreeMap<String, String> = request.sources.into_iter().collect();
    let (dag, diagnostics) = Dag::load(&request.main, &sources);
    let Some(dag) = dag else {
        return Err(Status::invalid_argument(diagnostics.render()));
    };
    let nodes = u32::try_from(dag.nodes.len()).unwrap_or(u32::MAX);
    let new = NewRun {
        key: request.key,
        owner: request.owner,
        dag: Arc::new(dag),
        digest: request.digest,
        directory: request.directory,
        delivery,
        files,
    };
    Ok(Checked {
        command: Command::SubmitRun(Box::new(new)),
        jobs: 0,
        nodes,
        warnings: diagnostics.warnings().map(ToString::to_string).collect(),
    })
}

fn check_cluster(
    request: SubmitRequest,
    files: BTreeMap<String, Blob>,
    delivery: Delivery,
) -> Result<Checked, Status> {
    let sources: BTreeMap<String, String> = request.sources.into_iter().collect();
    let Some(text) = sources.get(&request.main) else {
        let text = format!("the submission lacks its main file {}", request.main);
        return Err(Status::invalid_argument(text));
    };
    let macros: Macros = request.macros.iter().collect();
    let (mut submit, mut diagnostics) = Submit::parse(&request.main, text, &sources);
    if !diagnostics.has_errors() {
        submit.load_items(&macros, &sources);
        diagnostics.append(submit.check(&macros));
    }
    if diagnostics.has_errors() {
        return Err(Status::invalid_argument(diagnostics.render()));
    }
    let wrong =
        |diagnostics: dags::diagnostic::Diagnostics| Status::invalid_argument(diagnostics.render());
    let jobs = submit.procs(&macros).map_err(wrong)?.len();
    let new = NewCluster {
        key: request.key,
        owner: request.owner,
        submit: Arc::new(submit),
        macros,
        directory: request.directory,
        delivery,
        files,
    };
    Ok(Checked {
        command: Command::SubmitCluster(Box::new(new)),
        jobs,
        nodes: 0,
        warnings: diagnostics.warnings().map(ToString::to_string).collect(),
    })
}
