//! How long the way is that is left to the end of a run: by how long its jobs took, once any has
//! been measured, and by the number of nodes before.

use std::collections::BTreeMap;

use dags::dag::NodeKind;

use super::Run;
use crate::negotiator::RunTimes;

/// What a node counts for in a run of which nothing is measured, beside runs of which something is.
const UNMEASURED_MS: u64 = 60_000;
/// A description's time has changed when it is this many times what the ways were worked out with,
/// or this part of it.
const CHANGED: f64 = 1.25;

/// What was measured of a run's jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// By description.
    times: BTreeMap<u32, RunTimes>,
    /// With what the ways were worked out.
    used_ms: BTreeMap<u32, f64>,
    /// Of each node, in milliseconds; empty until something is measured.
    ways: Vec<u64>,
}

/// Whether ways are longer or shorter than they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    AsBefore,
    Changed,
}

impl Run {
    /// Milliseconds of the longest way from a node to the end, itself counted.
    pub(crate) fn way_ms(&self, node: u32) -> u64 {
        match self.pace.ways.get(node as usize) {
            Some(way) => *way,
            None => u64::from(self.dag.path_len[node as usize]) * UNMEASURED_MS,
        }
    }

    /// A job of a node took so long.
    pub(crate) fn took(&mut self, node: u32, ms: u64) -> Ways {
        let Some(submit) = self.dag.nodes[node as usize].kind.submit() else {
            return Ways::AsBefore;
        };
        let times = self.pace.times.entry(submit).or_default();
        times.add(ms);
        let (mean, count) = (times.mean_ms.max(1.0), times.count);
        let used = self.pace.used_ms.get(&submit).copied();
        let differs = used.is_none_or(|used| mean > used * CHANGED || mean * CHANGED < used);
        // Looked at ever more rarely: the ways of a large DAG are worked out a few times only.
        if !differs || used.is_some() && !count.is_power_of_two() {
            return Ways::AsBefore;
        }
        self.pace.used_ms.insert(submit, mean);
        self.work_out_ways();
        Ways::Changed
    }

    fn work_out_ways(&mut self) {
        let pace = &self.pace;
        let sum: f64 = pace.used_ms.values().sum();
        let mean = sum / pace.used_ms.len().max(1) as f64;
        let mut ways = vec![0_u64; self.dag.nodes.len()];
        for node in self.dag.order.iter().rev() {
            let written = &self.dag.nodes[*node as usize];
            let below = written.children.iter().chain(&written.weak_children);
            let below = below.map(|child| ways[*child as usize]).max();
            let each = match &written.kind {
                NodeKind::Job { submit } | NodeKind::Study { submit, .. } => {
                    pace.used_ms.get(submit).copied().unwrap_or(mean)
                }
                NodeKind::Subdag { .. } => mean,
                NodeKind::Noop | NodeKind::Join => 0.0,
            };
            let rounds = match self.dag.study_of(*node) {
                Some(spec) => spec.trials.div_ceil(spec.parallel.max(1)),
                None => 1,
            };
            let own = (each * f64::from(rounds)) as u64;
            ways[*node as usize] = below.unwrap_or(0).saturating_add(own);
        }
        self.pace.ways = ways;
    }
}
