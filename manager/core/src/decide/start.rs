//! How a node starts: what it lacks is fetched first, then its jobs join the queue or its study
//! opens.

use dags::dag::{NodeKind, Reads};
use dags::submit::SubmitState;
use proto::nouns::{Now, join_path};

use crate::decide::node::{Again, Deeds, NOT_SUBMITTED, PartEnd, extend};
use crate::decide::submit::{held, room_for};
use crate::effect::{CollectOrder, Effect, LoadOrder};
use crate::event::{Event, Works};
use crate::job::{Cluster, Source};
use crate::queue::Queue;
use crate::run::{NodeState, Run};

impl Queue {
    /// The effects that fetch what a node lacks, once more: a restart forgot that they were asked
    /// for.
    pub(crate) fn prepare_again(&self, id: u32, node: u32) -> Vec<Effect> {
        let Some(run) = self.runs.get(&id) else {
            return Vec::new();
        };
        if run.nodes[node as usize].state != NodeState::Preparing {
            return Vec::new();
        }
        let order = match run.dag.nodes[node as usize].kind {
            NodeKind::Subdag { .. } => self.load_order(run, node),
            NodeKind::Job { .. } | NodeKind::Study { .. } => {
                Some(self.collect(run, node, Vec::new()))
            }
            NodeKind::Noop | NodeKind::Join => None,
        };
        order.into_iter().collect()
    }

    pub(crate) fn load_order(&self, run: &Run, node: u32) -> Option<Effect> {
        let written = &run.dag.nodes[node as usize];
        let NodeKind::Subdag { file, reads } = &written.kind else {
            return None;
        };
        Some(Effect::Load(Box::new(LoadOrder {
            run: run.id,
            node,
            directory: self.workspaces.get(&run.home)?.directory.clone(),
            file: join_path(&written.dir, file),
            dir: written.dir.clone(),
            job: match reads {
                Reads::Dag => None,
                Reads::Submit => Some(Box::new(written.clone())),
            },
        })))
    }

    /// What of a node's inputs has to be looked for in the run's directory: where scripts may have
    /// put it, or where the DAG file came from that nobody had read at the submission.
    pub(crate) fn collect_order(&self, run: &Run, node: u32) -> Option<Effect> {
        let written = &run.dag.nodes[node as usize];
        if run.parent.is_none() && !run.roles.scripts {
            return None;
        }
        let paths = self.inputs_of(run, node);
        let workspace = &self.workspaces[&run.home];
        let fresh = written.scripts.pre.is_some();
        let lacks = |path: &String| fresh || workspace.find(path, path).is_empty();
        let paths: Vec<String> = paths.into_iter().filter(lacks).collect();
        (!paths.is_empty()).then(|| self.collect(run, node, paths))
    }

    fn collect(&self, run: &Run, node: u32, mut paths: Vec<String>) -> Effect {
        if paths.is_empty() {
            paths = self.inputs_of(run, node).into_iter().collect();
        }
        Effect::Collect(Box::new(CollectOrder {
            run: run.id,
            node,
            directory: self.workspaces[&run.home].directory.clone(),
            paths,
        }))
    }

    /// Puts a node's jobs into the queue, or opens its study.
    pub(crate) fn start_jobs(&self, now: Now, id: u32, node: u32) -> Deeds {
        let run = &self.runs[&id];
        let source = match run.dag.study_of(node) {
            Some(_) => Source::Study { run: id, node },
            None => Source::Node { run: id, node },
        };
        let cluster = self.meta.next_id;
        let macros = self.node_macros(id, node);
        let sized = match source {
            Source::Study { .. } => Ok((0, SubmitState::Run)),
            Source::User | Source::Node { .. } => {
                let new = Cluster {
                    macros: macros.clone(),
                    dir: run.dag.nodes[node as usize].dir.clone(),
                    ..Cluster::new(cluster, run.owner.clone(), now.wall_ms, source, 0)
                };
                self.size_of(new)
            }
        };
        let (count, state) = match sized {
            Ok(sized) => sized,
            Err(reason) => {
                let works = Works::Nothing;
                let mut deeds = (
                    vec![Event::NodeStarted {
                        run: id,
                        node,
                        works,
                    }],
                    Vec::new(),
                );
                let end = PartEnd {
                    again: Again::Hopeless,
                    ..PartEnd::failed(NOT_SUBMITTED, reason)
                };
                extend(&mut deeds, self.jobs_over(id, node, end));
                return deeds;
            }
        };
        let queued = Event::ClusterQueued {
            cluster: Box::new(Cluster {
                macros,
                dir: run.dag.nodes[node as usize].dir.clone(),
                raised: run.nodes[node as usize].raised,
                ..Cluster::new(cluster, run.owner.clone(), now.wall_ms, source, count)
            }),
            workspace: None,
            key: None,
        };
        let works = Works::Cluster(cluster);
        let mut deeds = (
            vec![
                queued,
                Event::NodeStarted {
                    run: id,
                    node,
                    works,
                },
            ],
            Vec::new(),
        );
        if state == SubmitState::Hold {
            deeds.0.extend(held(cluster, count));
        }
        if count == 0 && matches!(source, Source::Node { .. }) {
            extend(&mut deeds, self.jobs_over(id, node, PartEnd::well()));
        }
        deeds
    }

    /// How many jobs a new cluster has, and whether they wait for somebody to release them.
    fn size_of(&self, mut new: Cluster) -> Result<(u32, SubmitState), String> {
        let submit = self.submit_of(&new);
        let items = submit.procs(&new.macros);
        let items = items.map_err(|errors| errors.to_string())?;
        if items.is_empty() {
            return Ok((0, SubmitState::Run));
        }
        let jobs = items.len();
        new.items = Some(self.shapes.share(items));
        let spec = self.first_spec(&new)?;
        let count = room_for(self, jobs).map_err(|refusal| refusal.to_string())?;
        Ok((count, spec.hold))
    }
}
