//! Scripts: programs of DAG nodes that run beside the manager, each in a process group of its own.
//! One thread starts, stops and reaps them; one more waits for each. Which script runs when, how
//! many of a run at a time and what its end means is the queue's business.
//!
//! No script outlives the manager: those that run are killed when it stops, and those of a manager
//! that was killed when the next starts. The queue asks for them again then.

mod launch;
mod leftovers;

use std::collections::BTreeMap;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dags::Dag;
use manager_core::{Command, ScriptEnd, ScriptKind, ScriptOrder};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::queue::Closed;
use crate::settings::{SCRIPT_CLOSE_GRACE, SCRIPT_STOP_GRACE, SCRIPTS_MAX};

pub use crate::settings::ScriptPolicy;
pub(crate) use leftovers::Mark;

/// A thread that only waits needs little.
const WAITER_STACK_BYTES: usize = 64 << 10;

/// The way to the thread. Dropping it kills every script that runs, and waits for that: by then
/// nobody may be needed to take what it says.
pub(crate) struct Scripts {
    sender: Sender<Ask>,
    thread: Option<JoinHandle<()>>,
}

/// A node's script.
type Key = (u32, u32, ScriptKind);

/// What the thread keeps to.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    running_max: usize,
    /// How long a script may take to end when it is stopped, and when the manager is.
    stop_grace: Duration,
    close_grace: Duration,
}

const BOUNDS: Bounds = Bounds {
    running_max: SCRIPTS_MAX,
    stop_grace: SCRIPT_STOP_GRACE,
    close_grace: SCRIPT_CLOSE_GRACE,
};

enum Ask {
    Run(ScriptOrder),
    Stop(Key),
    /// The process of this script has ended, and waits to be reaped.
    Over(u64),
    Close,
}

/// Says which DAGs the policy keeps out.
///
/// # Errors
/// The DAG has a script, and scripts are refused.
pub(crate) fn permit(policy: ScriptPolicy, dag: &Dag) -> Result<(), String> {
    match policy {
        ScriptPolicy::Allow => Ok(()),
        ScriptPolicy::Refuse => match dag.named().iter().find(|node| !node.scripts.is_empty()) {
            None => Ok(()),
            Some(node) => Err(format!(
                "{}: node {} has a script, and this manager runs none (--scripts refuse)",
                dag.file, node.name
            )),
        },
    }
}

// === impl Scripts ===

impl Scripts {
    /// Kills what an earlier life left running, and starts the thread; ends go to `post`.
    pub(crate) fn start(
        mark: Mark,
        policy: ScriptPolicy,
        post: impl Fn(Command) -> Result<(), Closed> + Send + 'static,
    ) -> std::io::Result<Scripts> {
        Scripts::start_within(BOUNDS, mark, policy, post)
    }

    fn start_within(
        bounds: Bounds,
        mark: Mark,
        policy: ScriptPolicy,
        post: impl Fn(Command) -> Result<(), Closed> + Send + 'static,
    ) -> std::io::Result<Scripts> {
        mark.kill_leftovers();
        let (sender, receiver) = channel();
        let keeper = Keeper {
            bounds,
            mark,
            policy,
            post,
            sender: sender.clone(),
            next: 0,
            waiting: BTreeMap::new(),
            waiting_of: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("scripts".to_owned())
            .spawn(move || keeper.work(&receiver))?;
        Ok(Scripts {
            sender,
            thread: Some(thread),
        })
    }

    pub(crate) fn run(&self, order: ScriptOrder) {
        let _ = self.sender.send(Ask::Run(order));
    }

    /// Kills the script, or keeps it from being started. Its end is not said.
    pub(crate) fn stop(&self, run: u32, node: u32, kind: ScriptKind) {
        let _ = self.sender.send(Ask::Stop((run, node, kind)));
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = self.sender.send(Ask::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Keeper<P> {
    bounds: Bounds,
    mark: Mark,
    policy: ScriptPolicy,
    post: P,
    sender: Sender<Ask>,
    next: u64,
    /// In the order in which they came.
    waiting: BTreeMap<u64, ScriptOrder>,
    waiting_of: BTreeMap<Key, Vec<u64>>,
    running: BTreeMap<u64, Running>,
}

/// A script whose process was started and not yet reaped: its number is nobody else's.
struct Running {
    key: Key,
    attempt: u32,
    child: Child,
    fate: Fate,
}

/// What is to become of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its end is waited for.
    Awaited,
    /// It was asked to end, and is killed at this time.
    Stopping(Instant),
    Killed,
}

impl<P: Fn(Command) -> Result<(), Closed>> Keeper<P> {
    fn work(mut self, receiver: &Receiver<Ask>) {
        loop {
            match self.receive(receiver, None) {
                Ok(Ask::Run(order)) => self.enqueue(order),
                Ok(Ask::Stop(key)) => self.stop(key),
                Ok(Ask::Over(number)) => {
                    if self.over(number).is_err() {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.kill_overdue(),
                Ok(Ask::Close) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.start_waiting().is_err() {
                break;
            }
        }
        self.close(receiver);
    }

    /// What comes next, or [`RecvTimeoutError::Timeout`] when a script must be killed first, or
    /// `latest` has come.
    fn receive(
        &self,
        receiver: &Receiver<Ask>,
        latest: Option<Instant>,
    ) -> Result<Ask, RecvTimeoutError> {
        let due = self.running.values().filter_map(Running::due);
        match due.chain(latest).min() {
            Some(at) => receiver.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn enqueue(&mut self, order: ScriptOrder) {
        let number = self.next;
        self.next += 1;
        let key = key_of(&order);
        self.waiting_of.entry(key).or_default().push(number);
        self.waiting.insert(number, order);
    }

    fn stop(&mut self, key: Key) {
        for number in self.waiting_of.remove(&key).into_iter().flatten() {
            self.waiting.remove(&number);
        }
        for running in self.running.values_mut() {
            if running.key == key && running.fate == Fate::Awaited {
                running.ask_to_end(self.bounds.stop_grace);
            }
        }
    }

    /// Starts what may run: as many as there is room for, and none beside a dying one of its own
    /// node and kind.
    fn start_waiting(&mut self) -> Result<(), Closed> {
        while self.running.len() < self.bounds.running_max {
            let mut waiting = self.waiting.iter();
            let next = waiting.find(|(_, order)| !self.is_dying(key_of(order)));
            let Some(number) = next.map(|(number, _)| *number) else {
                return Ok(());
            };
            let order = self.waiting.remove(&number).expect("it was just found");
            let key = key_of(&order);
            if let Some(numbers) = self.waiting_of.get_mut(&key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.waiting_of.remove(&key);
                }
            }
            if let Err(reason) = self.begin(number, &order) {
                self.say(key, order.attempt, ScriptEnd::NotStarted(reason))?;
            }
        }
        Ok(())
    }

    fn is_dying(&self, key: Key) -> bool {
        self.running
            .values()
            .any(|running| running.key == key && running.fate != Fate::Awaited)
    }

    fn begin(&mut self, number: u64, order: &ScriptOrder) -> Result<(), String> {
        match self.policy {
            ScriptPolicy::Allow => {}
            ScriptPolicy::Refuse => {
                return Err("this manager runs no scripts (--scripts refuse)".to_owned());
            }
        }
        let child = launch::spawn(order, &self.mark)?;
        let running = Running {
            key: key_of(order),
            attempt: order.attempt,
            child,
            fate: Fate::Awaited,
        };
        let (pid, sender) = (running.group(), self.sender.clone());
        let waiter = std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(WAITER_STACK_BYTES)
            .spawn(move || {
                wait_for_end(pid);
                let _ = sender.send(Ask::Over(number));
            });
        match waiter {
            Ok(_) => {
                self.running.insert(number, running);
                Ok(())
            }
            Err(error) => {
                running.reap();
                Err(format!("its end cannot be waited for: {error}"))
            }
        }
    }

    /// Reaps a process that has ended, and says how it did.
    fn over(&mut self, number: u64) -> Result<(), Closed> {
        let Some(running) = self.running.remove(&number) else {
            return Ok(());
        };
        let (key, attempt) = (running.key, running.attempt);
        match running.fate {
            Fate::Awaited => {
                let end = running.wait();
                self.say(key, attempt, end)
            }
            Fate::Stopping(_) | Fate::Killed => {
                running.reap();
                Ok(())
            }
        }
    }

    fn say(&self, key: Key, attempt: u32, end: ScriptEnd) -> Result<(), Closed> {
        let (run, node, kind) = key;
        (self.post)(Command::ScriptEnded {
            run,
            node,
            kind,
            attempt,
            end,
        })
    }

    fn kill_overdue(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            if running.due().is_some_and(|at| at <= now) {
                running.signal(Signal::SIGKILL);
                running.fate = Fate::Killed;
            }
        }
    }

    /// Ends every script. Nobody is told. One that the kernel does not let go of is left behind.
    fn close(mut self, receiver: &Receiver<Ask>) {
        let grace = self.bounds.close_grace;
        for running in self.running.values_mut() {
            running.ask_to_end(grace);
        }
        let latest = Instant::now() + 2 * grace;
        while !self.running.is_empty() {
            match self.receive(receiver, Some(latest)) {
                Ok(Ask::Over(number)) => {
                    if let Some(running) = self.running.remove(&number) {
                        running.reap();
                    }
                }
                Ok(Ask::Run(_) | Ask::Stop(_) | Ask::Close) => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.kill_overdue();
                    if Instant::now() >= latest {
                        let left = self.running.len();
                        tracing::warn!("{left} scripts do not end although they were killed");
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

// === impl Running ===

impl Running {
    /// The number of the process, and of its group.
    fn group(&self) -> Pid {
        let pid = i32::try_from(self.child.id());
        Pid::from_raw(pid.expect("the kernel's process ids are positive integers"))
    }

    fn due(&self) -> Option<Instant> {
        match self.fate {
            Fate::Stopping(at) => Some(at),
            Fate::Awaited | Fate::Killed => None,
        }
    }

    fn ask_to_end(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        self.fate = Fate::Stopping(Instant::now() + grace);
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone already is as good.
        let _ = killpg(self.group(), signal);
    }

    /// The end of a process that is over. What it left running in its group goes on, as DAGMan has
    /// it.
    fn wait(mut self) -> ScriptEnd {
        match self.child.wait() {
            Ok(status) => end_of(status),
            Err(error) => ScriptEnd::NotStarted(format!("its end was lost: {error}")),
        }
    }

    /// Kills all that is left of a script.
    fn reap(mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Waits until a child has ended, and leaves it to be reaped: until then its number stays its own.
fn wait_for_end(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
}

fn key_of(order: &ScriptOrder) -> Key {
    (order.run, order.node, order.kind)
}

fn end_of(status: ExitStatus) -> ScriptEnd {
    use std::os::unix::process::ExitStatusExt;
    match status.code() {
        Some(code) => ScriptEnd::Exited(code),
        None => ScriptEnd::Signaled(status.signal().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests;
