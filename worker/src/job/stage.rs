//! From an order to a process: inputs fetched and placed in a sandbox, the program started in it.

use std::collections::BTreeMap;
use std::path::Path;

use proto::nouns::{ClaimId, Input, Program, RelPath, WorkOrder};
use tokio::task::JoinSet;

use super::environment::resource_variables;
use super::process::{self, Launch, Process};
use super::{Failure, House, Job, Started, blocking};
use crate::cache::{Identity, Pinned, PlaceError};
use crate::clock;
use crate::sandbox::Paths;

/// How often a damaged cached file is replaced before the job is given up.
const STAGE_ROUNDS_MAX: u32 = 3;

impl Job {
    pub(super) async fn stage_and_start(&self) -> Result<Started, Failure> {
        let order = &self.order;
        check_inputs(order)?;
        let (house, claim) = (self.house.clone(), self.claim);
        if order.inputs.is_empty() {
            let order = order.clone();
            let starting = move || start(&house, claim, &order, &[]);
            let started = self.house.starter.run(starting).await;
            let started =
                started.ok_or_else(|| Failure::worker("the worker failed".to_owned()))??;
            return started.ok_or_else(damaged);
        }
        for _ in 0..STAGE_ROUNDS_MAX {
            let pinned = self.obtain(&order.inputs).await?;
            let (house, order) = (house.clone(), order.clone());
            match blocking(move || start(&house, claim, &order, &pinned)).await?? {
                Some(started) => return Ok(started),
                // A cached file was damaged; it is fetched anew.
                None => continue,
            }
        }
        Err(damaged())
    }

    /// Each input as a file of the cache, in the order of `inputs`.
    async fn obtain(&self, inputs: &[Input]) -> Result<Vec<Pinned>, Failure> {
        let mut fetching = JoinSet::new();
        for (at, input) in inputs.iter().enumerate() {
            let (cache, blob, path) = (self.house.cache.clone(), input.blob, input.path.clone());
            fetching.spawn(async move { (at, path, cache.obtain(blob).await) });
        }
        let mut pinned = BTreeMap::new();
        while let Some(fetched) = fetching.join_next().await {
            let (at, path, fetched) =
                fetched.map_err(|error| Failure::worker(format!("staging failed: {error}")))?;
            let fetched = fetched.map_err(|error| {
                Failure::worker(format!("its input `{path}` could not be staged: {error}"))
            })?;
            pinned.insert(at, fetched);
        }
        Ok(pinned.into_values().collect())
    }
}

fn damaged() -> Failure {
    Failure::worker(format!(
        "its inputs were damaged in the cache {STAGE_ROUNDS_MAX} times (STAGE_ROUNDS_MAX)"
    ))
}

/// What can be seen to be wrong before anything is fetched.
fn check_inputs(order: &WorkOrder) -> Result<(), Failure> {
    let mut paths = BTreeMap::new();
    for input in &order.inputs {
        if paths.insert(&input.path, ()).is_some() {
            return Err(Failure::job(format!(
                "two of its inputs are named `{}`",
                input.path
            )));
        }
    }
    let among = |path: &RelPath| paths.contains_key(path);
    if let Program::Staged(path) = &order.program
        && !among(path)
    {
        return Err(Failure::job(format!(
            "its program `{path}` is not among its inputs"
        )));
    }
    match &order.stdin {
        Some(path) if !among(path) => Err(Failure::job(format!(
            "its standard input `{path}` is not among its inputs"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Takes a sandbox, places the inputs and starts the program; none if a cached file turned out
/// damaged. Blocks.
fn start(
    house: &House,
    claim: ClaimId,
    order: &WorkOrder,
    pinned: &[Pinned],
) -> Result<Option<Started>, Failure> {
    let sandbox = house.sandboxes.take(claim);
    let sandbox = sandbox
        .map_err(|error| Failure::worker(format!("its directory could not be made: {error}")))?;
    let Some((process, placed)) = start_in(house, claim, order, &sandbox.paths, pinned)? else {
        return Ok(None);
    };
    sandbox.begun(process.leader());
    Ok(Some(Started {
        process,
        sandbox,
        at_ms: clock::wall_ms(),
        placed,
    }))
}

/// What starts, and what was placed for it.
type Launched = (Process, BTreeMap<RelPath, (Input, Identity)>);

fn start_in(
    house: &House,
    claim: ClaimId,
    order: &WorkOrder,
    paths: &Paths,
    pinned: &[Pinned],
) -> Result<Option<Launched>, Failure> {
    let mut placed = BTreeMap::new();
    for (input, pinned) in order.inputs.iter().zip(pinned) {
        match place(order, input, pinned, &paths.dir) {
            Ok(identity) => placed.insert(input.path.clone(), (input.clone(), identity)),
            Err(PlaceError::Corrupt) => return Ok(None),
            Err(PlaceError::Disk(error)) => {
                let reason = format!("its input `{}` could not be placed: {error}", input.path);
                return Err(Failure::worker(reason));
            }
        };
    }
    if let Some(params) = &order.params {
        std::fs::write(&paths.params, params)
            .map_err(|error| Failure::worker(format!("{}: {error}", paths.params.display())))?;
    }
    let mut environment = house.base.environment(claim, order, paths)?;
    let resources = resource_variables(order);
    for (name, amount) in &resources {
        environment.insert(name, amount.into());
    }
    let launch = Launch::new(order, paths, &environment, &house.trainer)?;
    let process = launch.spawn()?;
    Ok(Some((process, placed)))
}

fn place(
    order: &WorkOrder,
    input: &Input,
    pinned: &Pinned,
    dir: &Path,
) -> Result<Identity, PlaceError> {
    let to = dir.join(input.path.as_str());
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(PlaceError::Disk)?;
    }
    pinned.place(&to)?;
    let is_program = matches!(&order.program, Program::Staged(path) if *path == input.path);
    process::set_mode(&to, is_program || input.blob.executable).map_err(PlaceError::Disk)?;
    Ok(Identity::of(&to.metadata().map_err(PlaceError::Disk)?))
}
