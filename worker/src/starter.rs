//! Short work that may wait for the disk or for another process, begun in order by a few threads:
//! to start a job without inputs is that. A thread for each would cost more than the work.
//! What may take long is not for here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Threads at a time, when something hangs, such as a network file system.
const STARTERS_MAX: u32 = 8;
/// Threads at a time while nothing does; fewer where there are fewer cores. A thread that starts a
/// process waits until the kernel has it, and another slot's start should not wait for that.
const STARTERS_EAGER_MAX: usize = 4;
/// Work that has waited this long gets another thread.
const LATE: Duration = Duration::from_millis(50);

pub(crate) struct Starter {
    queue: Mutex<Queue>,
    eager: u32,
}

#[derive(Default)]
struct Queue {
    /// As many as there are claims, at most.
    waiting: VecDeque<Work>,
    threads: u32,
}

struct Work {
    since: Instant,
    work: Box<dyn FnOnce() + Send>,
}

/// One thread's share of [`Queue::threads`], given back even if its work panics.
struct Turn<'a>(&'a Starter);

impl Default for Starter {
    fn default() -> Starter {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let eager = cores.min(STARTERS_EAGER_MAX);
        Starter {
            queue: Mutex::default(),
            eager: u32::try_from(eager).unwrap_or(1),
        }
    }
}

impl Starter {
    /// Does the work in its turn. Nothing, if it could not be done to its end. The answer is
    /// dropped, where the work was done, if nobody waits for it any more.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Starter>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, done) = oneshot::channel();
        let work = Box::new(move || drop(answer.send(work())));
        self.lock().waiting.push_back(Work {
            since: Instant::now(),
            work,
        });
        self.nudge();
        done.await.ok()
    }

    /// Sees to it that what waits is not waiting behind something that hangs.
    pub fn nudge(self: &Arc<Starter>) {
        let mut queue = self.lock();
        let Some(first) = queue.waiting.front() else {
            return;
        };
        let is_late = first.since.elapsed() > LATE && queue.threads < STARTERS_MAX;
        if queue.threads < self.eager || is_late {
            queue.threads += 1;
            drop(queue);
            let starter = self.clone();
            tokio::task::spawn_blocking(move || starter.drain());
        }
    }

    fn drain(&self) {
        let turn = Turn(self);
        loop {
            let mut queue = self.lock();
            let Some(Work { work, .. }) = queue.waiting.pop_front() else {
                // Under the lock, or what comes now would find a thread that takes no more.
                queue.threads -= 1;
                std::mem::forget(turn);
                return;
            };
            drop(queue);
            work();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .expect("nothing panics while it holds the queue")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
    }
}

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Starter")
    }
}
