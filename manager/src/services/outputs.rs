//! What `Outputs` answers: the files that jobs brought back, and for a DAG run in a directory of
//! the manager's what its scripts and the manager itself wrote there.

use std::collections::BTreeMap;

use proto::nouns::Subject;
use proto::wire::{File, OutputsReply};
use tonic::Status;

use super::{Shared, queries};
use crate::copies;
use crate::places::Place;

/// The outputs of a job, cluster or DAG run; nothing if there is none of the name.
pub(super) async fn outputs(
    shared: &Shared,
    subject: Subject,
) -> Result<Option<OutputsReply>, Status> {
    let look = move |queue: &manager_core::Queue| {
        let whole = match subject {
            Subject::Whole(id) => queue.workspaces().get(&id),
            Subject::Job(_) => None,
        };
        let directory = whole.map(|workspace| workspace.directory.clone());
        (queries::outputs(queue, subject), directory)
    };
    let (reply, directory) = shared.queue.read(look).await?;
    let place = directory.map(|directory| shared.places.of(&directory));
    let (Some(reply), Some(place @ Place::Copied { .. })) = (&reply, place) else {
        return Ok(reply);
    };
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    for file in &reply.files {
        let path = place.name(&file.path);
        let file = File {
            path: path.clone(),
            ..file.clone()
        };
        files.insert(path, file);
    }
    let taker = shared.taker.clone();
    let looking = tokio::task::spawn_blocking(move || copies::changed(&place, &taker));
    let changed = looking
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    // What a script made of an output counts, not what it was before.
    for (path, blob) in changed.map_err(|error| Status::internal(error.to_string()))? {
        let blob = Some(blob.into());
        let file = File {
            path: path.clone(),
            blob,
        };
        files.insert(path, file);
    }
    let files = files.into_values().collect();
    Ok(Some(OutputsReply { files }))
}
