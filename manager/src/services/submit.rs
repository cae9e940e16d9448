//! Submissions: texts are parsed and checked here, with the code that the client used, off the
//! queue's thread; a DAG run that needs a directory of the manager's gets it here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dags::Diagnostics;
use dags::dag::{Dag, Loading};
use dags::files::Sent;
use dags::submit::{Macros, Submit};
use manager_core::{Command, Delivery, NewCluster, NewRun, Reply};
use proto::nouns::{Blob, RelPath, join_path};
use proto::wire::{self, SubmitReply, SubmitRequest};
use tonic::Status;

use super::Shared;
use super::queue::status_of;
use crate::blobs::BlobStore;
use crate::copies::{self, Original};
use crate::places::Places;
use crate::scripts;
use crate::settings::{KEY_BYTES_MAX, ScriptPolicy};
use crate::subdags;

/// What is submitted, checked.
struct Checked {
    command: Command,
    jobs: u64,
    nodes: u32,
    warnings: Vec<String>,
}

/// What a submission is checked and prepared with.
struct House {
    blobs: BlobStore,
    places: Places,
    scripts: ScriptPolicy,
}

/// Takes a submission in. Nothing of it is queued unless all of it is right.
pub(super) async fn submit(shared: &Shared, request: SubmitRequest) -> Result<SubmitReply, Status> {
    let files = files_of(shared, &request.files)?;
    let house = House {
        blobs: shared.blobs.clone(),
        places: shared.places.clone(),
        scripts: shared.scripts,
    };
    let checking = tokio::task::spawn_blocking(move || check(&house, request, files));
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
        Ok(Reply::Done | Reply::Acted { .. } | Reply::Edited { .. } | Reply::Drained { .. }) => {
            Err(Status::internal(
                "a submission was answered with something else",
            ))
        }
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

/// What a DAG's submission would be, for a look at what it would do: its files need not be there,
/// and nothing is made for it.
pub(super) async fn planned(request: SubmitRequest) -> Result<NewRun, Status> {
    let mut files = BTreeMap::new();
    for file in &request.files {
        let blob = file.blob.clone();
        let blob = blob.ok_or_else(|| Status::invalid_argument("a file without a blob"))?;
        files.insert(join_path("", &file.path), blob.try_into()?);
    }
    let checking = tokio::task::spawn_blocking(move || {
        let (dag, _) = read_dag(&request)?;
        let delivery = delivery_of(&request);
        Ok::<_, Status>(new_run(request, dag, files, delivery))
    });
    checking
        .await
        .map_err(|error| Status::internal(error.to_string()))?
}

fn check(
    house: &House,
    request: SubmitRequest,
    files: BTreeMap<String, Blob>,
) -> Result<Checked, Status> {
    if request.key.is_empty() || request.key.len() > KEY_BYTES_MAX {
        let text = format!("a submission needs a key of its own, of at most {KEY_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(text));
    }
    if is_dag(&request) {
        check_dag(house, request, files)
    } else {
        check_cluster(request, files)
    }
}

fn is_dag(request: &SubmitRequest) -> bool {
    request.main.to_ascii_lowercase().ends_with(".dag")
}

fn delivery_of(request: &SubmitRequest) -> Delivery {
    match request.delivery() {
        wire::Delivery::Write => Delivery::Write,
        wire::Delivery::Unspecified | wire::Delivery::Keep => Delivery::Keep,
    }
}

fn read_dag(request: &SubmitRequest) -> Result<(Dag, Diagnostics), Status> {
    let sources: BTreeMap<String, String> = request.sources.clone().into_iter().collect();
    let loading = Loading {
        path: &request.main,
        dir: None,
        rescue: (!request.rescue.is_empty()).then_some(&*request.rescue),
    };
    let submitter: BTreeMap<String, String> = request.macros.clone().into_iter().collect();
    let files = Sent {
        files: &sources,
        submitter: &submitter,
    };
    let (dag, diagnostics) = Dag::load_as(&loading, &files);
    let dag = dag.ok_or_else(|| Status::invalid_argument(diagnostics.render()))?;
    Ok((dag, diagnostics))
}

fn new_run(
    request: SubmitRequest,
    dag: Dag,
    files: BTreeMap<String, Blob>,
    delivery: Delivery,
) -> NewRun {
    let subdags = match request.continues {
        0 => BTreeMap::new(),
        _ => subdags::digests(&dag, request.sources.clone().into_iter().collect()),
    };
    NewRun {
        subdags,
        key: request.key,
        owner: request.owner,
        dag: Arc::new(dag),
        digest: request.digest,
        environment: request.environment.into_iter().collect(),
        continues: (request.continues != 0).then_some(request.continues),
        directory: request.directory,
        delivery,
        files,
    }
}

fn check_dag(
    house: &House,
    mut request: SubmitRequest,
    files: BTreeMap<String, Blob>,
) -> Result<Checked, Status> {
    let (dag, diagnostics) = read_dag(&request)?;
    scripts::permit(house.scripts, &dag).map_err(Status::failed_precondition)?;
    let mut delivery = delivery_of(&request);
    if delivery == Delivery::Keep && copies::needs_directory(&dag) {
        request.directory = copy(house, &request, &dag, &files)?;
        delivery = Delivery::Write;
    }
    let nodes = u32::try_from(dag.named().len()).unwrap_or(u32::MAX);
    let new = new_run(request, dag, files, delivery);
    Ok(Checked {
        command: Command::SubmitRun(Box::new(new)),
        jobs: 0,
        nodes,
        warnings: diagnostics.warnings().map(ToString::to_string).collect(),
    })
}

/// Makes a directory of the manager's for a run, from what was submitted, and gives its path. Its
/// outputs are written there, and are blobs to be fetched all the same. If the run is refused after
/// this, the next start removes the directory: until then the same submission may come again.
fn copy(
    house: &House,
    request: &SubmitRequest,
    dag: &Dag,
    files: &BTreeMap<String, Blob>,
) -> Result<String, Status> {
    let place = house.places.own(&request.key, &request.directory);
    let sources: BTreeMap<String, String> = request.sources.clone().into_iter().collect();
    let nodes = dag.named().iter().map(|node| node.dir.as_str());
    let original = Original {
        directories: nodes.chain(["", dag.dir.as_str()]).collect::<BTreeSet<_>>(),
        sources: &sources,
        files,
    };
    copies::make(&house.places, &house.blobs, &place, &original)
        .map_err(Status::failed_precondition)?;
    let path = place.path("").into_os_string().into_string();
    path.map_err(|_| Status::internal("a path of the manager's is not UTF-8"))
}

fn check_cluster(
    request: SubmitRequest,
    inputs: BTreeMap<String, Blob>,
) -> Result<Checked, Status> {
    let delivery = delivery_of(&request);
    let sources: BTreeMap<String, String> = request.sources.into_iter().collect();
    let Some(text) = sources.get(&request.main) else {
        let text = format!("the submission lacks its main file {}", request.main);
        return Err(Status::invalid_argument(text));
    };
    let macros: Macros = request.macros.iter().collect();
    let submitter: BTreeMap<String, String> = request.macros.clone().into_iter().collect();
    let files = Sent {
        files: &sources,
        submitter: &submitter,
    };
    let (mut submit, mut diagnostics) = Submit::parse(&request.main, text, &files);
    if !diagnostics.has_errors() {
        submit.load_items(&macros, &files);
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
        files: inputs,
    };
    Ok(Checked {
        command: Command::SubmitCluster(Box::new(new)),
        jobs,
        nodes: 0,
        warnings: diagnostics.warnings().map(ToString::to_string).collect(),
    })
}
