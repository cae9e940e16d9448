//! A manager and its workers, each a process that can be killed and started again, and the requests
//! of a user of theirs.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::home::{Home, Process, Ran, eventually, run};

/// Processes first: when these are dropped, the directory of [`Home`] is still there.
pub struct Pool {
    manager: Option<Process>,
    workers: BTreeMap<String, Worker>,
    /// Where the manager listens, in every life.
    address: String,
    manager_args: Vec<String>,
    pub home: Home,
}

struct Worker {
    args: Vec<String>,
    process: Option<Process>,
}

impl Pool {
    /// A manager without workers.
    pub fn start() -> Pool {
        Pool::of(Home::new(), &[])
    }

    /// A manager with these flags, in this directory.
    pub fn of(home: Home, manager_args: &[&str]) -> Pool {
        let mut pool = Pool {
            manager: None,
            workers: BTreeMap::new(),
            address: "127.0.0.1:0".to_owned(),
            manager_args: manager_args.iter().map(|arg| (*arg).to_owned()).collect(),
            home,
        };
        pool.start_manager();
        pool
    }

    /// A manager that goes on with what `updraft run` left behind for its one DAG file.
    pub fn after_run(home: Home) -> Pool {
        let dirs = home.run_dirs();
        assert_eq!(dirs.len(), 1, "{dirs:?}");
        std::fs::rename(dirs[0].join("manager"), home.path("manager")).unwrap();
        Pool::of(home, &[])
    }

    /// A manager and a worker of four cores for each name.
    pub fn with_workers(names: &[&str]) -> Pool {
        let mut pool = Pool::start();
        for name in names {
            pool.add_worker(name, &[]);
        }
        pool
    }

    pub fn add_worker(&mut self, name: &str, args: &[&str]) {
        let worker = Worker {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            process: None,
        };
        self.workers.insert(name.to_owned(), worker);
        self.start_worker(name);
    }
}

// === daemons ===

impl Pool {
    /// Starts it where it listened before; returns when it serves.
    pub fn start_manager(&mut self) {
        assert!(self.manager.is_none());
        let file = self.home.path("address");
        let _ = std::fs::remove_file(&file);
        let fixed = [
            "manager",
            "--state-dir",
            "manager",
            "--listen",
            &self.address,
            "--address-file",
            "address",
        ];
        let more = self.manager_args.iter().map(String::as_str);
        let args: Vec<&str> = fixed.into_iter().chain(more).collect();
        let mut process = self.home.daemon("manager", &args);
        self.address = eventually("address of the manager", || {
            assert!(!process.is_over(), "the manager ended");
            let text = self.home.read("address");
            text.ends_with('\n').then(|| text.trim().to_owned())
        });
        self.manager = Some(process);
    }

    pub fn kill_manager(&mut self) {
        self.manager.take().unwrap().kill();
    }

    pub fn start_worker(&mut self, name: &str) {
        let worker = self.workers.get_mut(name).unwrap();
        assert!(worker.process.is_none());
        let state = format!("workers/{name}");
        let fixed = [
            "worker",
            "--manager",
            &self.address,
            "--state-dir",
            &state,
            "--name",
            name,
            "--cpus",
            "4",
            "--memory",
            "4096",
        ];
        let more = worker.args.iter().map(String::as_str);
        let args: Vec<&str> = fixed.into_iter().chain(more).collect();
        worker.process = Some(self.home.daemon(name, &args));
    }

    pub fn kill_worker(&mut self, name: &str) {
        let worker = self.workers.get_mut(name).unwrap();
        worker.process.take().unwrap().kill();
    }

    pub fn signal_worker(&self, name: &str, signal: Signal) {
        self.workers[name].process.as_ref().unwrap().signal(signal);
    }

    pub fn worker_names(&self) -> Vec<String> {
        self.workers.keys().cloned().collect()
    }
}

// === requests ===

impl Pool {
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.home.command(args);
        command.env("UPDRAFT_MANAGER", &self.address);
        command
    }

    pub fn updraft(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    /// The document of a read that works.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let args = [args, &["-o", "json"]].concat();
        self.updraft(&args).expect(0).json()
    }

    /// What `why` says; its exit code says the same.
    #[track_caller]
    pub fn why(&self, args: &[&str]) -> Value {
        let ran = self.updraft(&[&["why", "-o", "json"], args].concat());
        let why = ran.json();
        let code = match why["prospect"].as_str() {
            Some("well") => 0,
            Some("failed") => 1,
            Some("never") => 3,
            Some("not_now") => 8,
            other => panic!("{other:?}: {why:#}"),
        };
        assert_eq!(ran.code, Some(code), "{why:#}");
        why
    }

    /// The id of what is submitted.
    #[track_caller]
    pub fn submit(&self, file: &str) -> String {
        let ran = self.updraft(&["submit", "--quiet", file]).expect(0);
        let id = ran.out.trim();
        assert!(id.parse::<u32>().is_ok(), "{}", ran.out);
        id.to_owned()
    }

    /// Writes a submit description of these lines and submits it.
    #[track_caller]
    pub fn submit_text(&self, name: &str, text: &str) -> String {
        self.home.write(name, text);
        self.submit(name)
    }

    #[track_caller]
    pub fn wait(&self, id: &str) {
        self.updraft(&["wait", id]).expect(0);
    }

    /// Jobs that have ended, in order.
    #[track_caller]
    pub fn history(&self, id: &str) -> Vec<Value> {
        let document = self.json(&["history", id]);
        assert_eq!(document["truncated"], false);
        document["jobs"].as_array().unwrap().clone()
    }

    /// As [`Pool::history`], for what may have no job that ended.
    pub fn history_or_nothing(&self, id: &str) -> Vec<Value> {
        let ended = self.json(&["history"])["jobs"].as_array().unwrap().clone();
        let is_of = |job: &Value| {
            let (cluster, _) = job["id"].as_str().unwrap().split_once('.').unwrap();
            cluster == id
        };
        ended.into_iter().filter(is_of).collect()
    }

    /// The one job of a cluster, wherever it is.
    #[track_caller]
    pub fn job(&self, cluster: &str) -> Value {
        let queue = self.json(&["q"])["jobs"].as_array().unwrap().clone();
        let prefix = format!("{cluster}.");
        let is_of = |job: &Value| job["id"].as_str().unwrap().starts_with(&prefix);
        let mut jobs: Vec<Value> = queue.into_iter().filter(is_of).collect();
        if jobs.is_empty() {
            jobs = self.history(cluster);
        }
        assert_eq!(jobs.len(), 1, "{jobs:#?}");
        jobs[0].clone()
    }

    /// Returns when the one job of a cluster has this status.
    #[track_caller]
    pub fn until_status(&self, cluster: &str, status: &str) {
        eventually(status, || {
            (self.job(cluster)["status"] == status).then_some(())
        });
    }

    /// Returns when a worker of this name is in this state.
    #[track_caller]
    pub fn until_worker(&self, name: &str, is: impl Fn(&Value) -> bool) {
        eventually("state of a worker", || {
            let document = self.json(&["status"]);
            let workers = document["workers"].as_array().unwrap();
            workers
                .iter()
                .find(|worker| worker["name"] == name)
                .filter(|worker| is(worker))
                .map(drop)
        });
    }

    /// Nothing was ever queued.
    #[track_caller]
    pub fn assert_empty(&self) {
        let queue = self.json(&["q"]);
        assert_eq!((&queue["runs"], &queue["jobs"]), (&empty(), &empty()));
        assert_eq!(self.json(&["history"])["jobs"], empty());
    }
}

fn empty() -> Value {
    Value::Array(Vec::new())
}
