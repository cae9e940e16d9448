//! Landings: threads that write the output files of ended jobs where their users asked for them.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use manager_core::{Command, Landing};

use crate::blobs::{BlobStore, Mode};
use crate::places::Places;
use crate::queue::QueueHandle;

/// Threads that write at the same time.
const THREADS: usize = 2;

/// The way to them. The queue holds what was asked, so that a crash asks again.
pub(crate) struct Landings {
    sender: Sender<Landing>,
}

impl Landings {
    pub(crate) fn start(
        blobs: BlobStore,
        places: Places,
        queue: QueueHandle,
    ) -> std::io::Result<Landings> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let (receiver, blobs, queue) = (receiver.clone(), blobs.clone(), queue.clone());
            let places = places.clone();
            std::thread::Builder::new()
                .name("landing".to_owned())
                .spawn(move || work(&receiver, &blobs, &places, &queue))?;
        }
        Ok(Landings { sender })
    }

    pub(crate) fn land(&self, landing: Landing) {
        let _ = self.sender.send(landing);
    }
}

fn work(
    receiver: &Mutex<Receiver<Landing>>,
    blobs: &BlobStore,
    places: &Places,
    queue: &QueueHandle,
) {
    loop {
        let next = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(landing) = next else { return };
        let result = write(blobs, places, &landing);
        let command = Command::Landed {
            job: landing.job,
            result,
        };
        if queue.post_blocking(command).is_err() {
            return;
        }
    }
}

fn write(blobs: &BlobStore, places: &Places, landing: &Landing) -> Result<(), String> {
    let place = places.of(&landing.directory);
    let mut parents = BTreeSet::new();
    for (path, blob) in &landing.files {
        let target = place.path(path);
        let mode = if blob.executable {
            Mode::Executable
        } else {
            Mode::Plain
        };
        blobs
            .write_to(blob.digest, &target, mode)
            .map_err(|error| {
                format!("the output {} cannot be written: {error}", target.display())
            })?;
        parents.extend(target.parent().map(Path::to_path_buf));
    }
    for parent in parents {
        let synced = File::open(&parent).and_then(|dir| dir.sync_all());
        synced.map_err(|error| format!("{} cannot be synced: {error}", parent.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::nouns::{Blob, JobId};

    use super::*;

    #[test]
    fn files_land_where_their_directory_is_copied_to() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(&dir.path().join("work")).unwrap();
        let blobs = BlobStore::open(dir.path().join("blobs")).unwrap();
        let blob = Blob {
            digest: blobs.keep(b"x").unwrap(),
            bytes: 1,
            executable: false,
        };
        let own = places.own("key", "/home/ada");
        let real = dir.path().join("ada").to_str().unwrap().to_owned();
        let copied = own.path("").to_str().unwrap().to_owned();
        let absolute = dir.path().join("absolute").to_str().unwrap().to_owned();
        for directory in [&real, &copied] {
            let landing = Landing {
                job: JobId {
                    cluster: 1,
                    proc: 0,
                },
                directory: directory.clone(),
                files: vec![("out/x".to_owned(), blob), (absolute.clone(), blob)],
            };
            write(&blobs, &places, &landing).unwrap();
            assert!(Path::new(directory).join("out/x").exists(), "{directory}");
            // A path of the submitter's machine means nothing on the manager's.
            assert_eq!(Path::new(&absolute).exists(), directory == &real);
            let _ = std::fs::remove_file(&absolute);
        }
        assert!(own.path(&absolute).exists());
    }
}
