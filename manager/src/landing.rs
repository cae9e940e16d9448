//! Landings: threads that write the output files of ended jobs where their users asked for them.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use manager_core::{Command, Landing};

use crate::blobs::{BlobStore, Mode};
use crate::queue::QueueHandle;

/// Threads that write at the same time.
const THREADS: usize = 2;

/// The way to them. The queue holds what was asked, so that a crash asks again.
pub(crate) struct Landings {
    sender: Sender<Landing>,
}

impl Landings {
    pub(crate) fn start(blobs: BlobStore, queue: QueueHandle) -> std::io::Result<Landings> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let (receiver, blobs, queue) = (receiver.clone(), blobs.clone(), queue.clone());
            std::thread::Builder::new()
                .name("landing".to_owned())
                .spawn(move || work(&receiver, &blobs, &queue))?;
        }
        Ok(Landings { sender })
    }

    pub(crate) fn land(&self, landing: Landing) {
        let _ = self.sender.send(landing);
    }
}

fn work(receiver: &Mutex<Receiver<Landing>>, blobs: &BlobStore, queue: &QueueHandle) {
    loop {
        let next = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(landing) = next else { return };
        let result = write(blobs, &landing);
        let command = Command::Landed {
            job: landing.job,
            result,
        };
        if queue.post_blocking(command).is_err() {
            return;
        }
    }
}

fn write(blobs: &BlobStore, landing: &Landing) -> Result<(), String> {
    let mut parents = BTreeSet::new();
    for (path, blob) in &landing.files {
        let target = Path::new(&landing.directory).join(path);
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
