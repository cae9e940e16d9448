//! The epoch loop, written once over any device: shuffle, step through the batches, validate, keep
//! the best, stop when it no longer gets better.

use std::ops::ControlFlow;
use std::time::Instant;

use super::metrics::{Goal, Metrics, deciding, score};
use super::outcome::{Outcome, Stopped};
use super::settings::{Optimizer, Schedule, TrainSettings};
use super::{EpochMetrics, Parts, TrainError};
use crate::data::{Encoded, Encoder, Target};
use crate::device::{Adam, Device, DeviceError, Kernels, Loss, Sgd};
use crate::model::Model;
use crate::network::{Architecture, Batch, DataOn, Network, PARAMETERS_MAX};
use crate::random::{Stream, hash};

/// Rows of a batch where nothing is learned: enough to fill a device, few enough for its memory.
pub(crate) const SCORED_ROWS: usize = 1_024;

type Progress<'a> = &'a mut dyn FnMut(&EpochMetrics) -> ControlFlow<()>;

/// Trains on encoded parts.
pub(super) fn run(
    settings: &TrainSettings,
    encoder: Encoder,
    parts: &Parts,
    progress: Progress<'_>,
) -> Result<Outcome, TrainError> {
    let architecture = Architecture::new(&encoder, settings.hidden_widths(), settings.activation);
    let parameters = architecture.parameters().unwrap_or(usize::MAX);
    if parameters > PARAMETERS_MAX {
        return Err(TrainError::TooLarge {
            parameters,
            limit: PARAMETERS_MAX,
        });
    }
    let (device, description) = Device::open(settings.device, settings.threads)?;
    let job = Job {
        settings,
        encoder,
        architecture,
        parts,
        device: description,
    };
    match device {
        Device::Cpu(cpu) => job.run(&cpu, progress),
        Device::Cuda(cuda) => job.run(&*cuda, progress),
    }
}

/// A training that is ready to start.
struct Job<'a> {
    settings: &'a TrainSettings,
    encoder: Encoder,
    architecture: Architecture,
    parts: &'a Parts,
    device: String,
}

/// What an optimizer remembers, each laid out as the parameters.
enum Memory<K: Kernels> {
    Sgd { velocity: K::Floats },
    Adam { first: K::Floats, second: K::Floats },
}

/// The epoch that was best so far, by the deciding metric.
struct Best<K: Kernels> {
    metric: String,
    goal: Goal,
    /// 0 before the first epoch.
    epoch: usize,
    validation: Metrics,
    params: K::Floats,
}

/// What changes from step to step.
struct Learner<'a, K: Kernels> {
    kernels: &'a K,
    settings: &'a TrainSettings,
    network: Network<K>,
    memory: Memory<K>,
    losses: K::Floats,
    loss: Loss,
    /// Batches in an epoch.
    batches: usize,
    steps_done: u64,
}

impl Job<'_> {
    fn run<K: Kernels>(self, kernels: &K, progress: Progress<'_>) -> Result<Outcome, TrainError> {
        let started = Instant::now();
        let mut best = self.nothing_yet(kernels)?;
        let mut train = DataOn::new(kernels, &self.parts.train)?;
        let validation = DataOn::new(kernels, &self.parts.validation)?;
        let mut learner = self.learner(kernels)?;
        let mut order = Order::new(self.settings.seed, train.rows());
        let mut stopped = Stopped::AllEpochs;
        let (mut epochs, mut training_s) = (0, 0.0);
        for epoch in 1..=self.settings.epochs {
            train.reorder(kernels, order.next())?;
            let metrics = self.epoch(&mut learner, &train, &validation, epoch)?;
            epochs = epoch;
            training_s += train.rows() as f64 / metrics.samples_per_s;
            if !metrics.validation[&best.metric].is_finite() {
                // The last step of the epoch made weights that no later batch met.
                return Err(TrainError::Diverged {
                    epoch,
                    batch: learner.batches,
                });
            }
            let asked_to_stop = progress(&metrics).is_break();
            best.offer(kernels, &learner.network, metrics)?;
            let patience = self.settings.patience;
            if asked_to_stop {
                stopped = Stopped::Asked;
            } else if patience > 0 && epoch - best.epoch >= patience {
                stopped = Stopped::NoImprovement;
            }
            if stopped != Stopped::AllEpochs {
                break;
            }
        }
        let network = &mut learner.network;
        kernels.copy(&best.params, &mut network.params)?;
        let test = match &self.parts.test {
            Some(part) => {
                let data = DataOn::new(kernels, part)?;
                Some(self.score(kernels, network, &data, part)?)
            }
            None => None,
        };
        let mut params = vec![0.0; network.layout().len];
        kernels.read(&network.params, &mut params)?;
        let samples = (epochs * train.rows()) as f64;
        Ok(Outcome {
            metric: best.metric,
            goal: best.goal,
            best_epoch: best.epoch,
            epochs,
            stopped,
            validation: best.validation,
            test,
            device: self.device,
            samples_per_s: samples / f64::max(training_s, f64::MIN_POSITIVE),
            seconds: started.elapsed().as_secs_f64(),
            settings: self.settings.clone(),
            model: Model::new(self.encoder, self.architecture, params),
        })
    }

    /// One pass over the training part, then the metrics of the validation part.
    fn epoch<K: Kernels>(
        &self,
        learner: &mut Learner<'_, K>,
        train: &DataOn<K>,
        validation: &DataOn<K>,
        epoch: usize,
    ) -> Result<EpochMetrics, TrainError> {
        let began = Instant::now();
        let loss = learner.epoch(train, epoch)?;
        let training_s = began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let (kernels, network) = (learner.kernels, &mut learner.network);
        let validation = self.score(kernels, network, validation, &self.parts.validation)?;
        Ok(EpochMetrics {
            epoch,
            train_loss: loss * self.loss_unit(),
            validation,
            seconds: began.elapsed().as_secs_f64(),
            samples_per_s: train.rows() as f64 / training_s,
        })
    }

    fn nothing_yet<K: Kernels>(&self, kernels: &K) -> Result<Best<K>, TrainError> {
        let metric = self.metric()?;
        Ok(Best {
            goal: Goal::of(&metric),
            metric,
            epoch: 0,
            validation: Metrics::new(),
            params: kernels.zeros(self.architecture.layout().len)?,
        })
    }

    fn learner<'k, K: Kernels>(&'k self, kernels: &'k K) -> Result<Learner<'k, K>, DeviceError> {
        let rows = self.parts.train.rows;
        let batch_rows = self.settings.batch_size.min(rows);
        let batches = rows.div_ceil(batch_rows);
        let scored = SCORED_ROWS.min(
            self.parts
                .validation
                .rows
                .max(self.parts.test.as_ref().map_or(0, |test| test.rows)),
        );
        let params = self.architecture.initial(self.settings.seed);
        let memory = match self.settings.optimizer {
            Optimizer::Sgd => Memory::Sgd {
                velocity: kernels.zeros(params.len())?,
            },
            Optimizer::Adam => Memory::Adam {
                first: kernels.zeros(params.len())?,
                second: kernels.zeros(params.len())?,
            },
        };
        let room = batch_rows.max(scored);
        Ok(Learner {
            kernels,
            settings: self.settings,
            network: Network::new(kernels, self.architecture.clone(), &params, room)?,
            memory,
            losses: kernels.zeros(batches)?,
            loss: loss_of(&self.encoder.target),
            batches,
            steps_done: 0,
        })
    }

    /// The metric that decides, checked to be one of the task.
    fn metric(&self) -> Result<String, TrainError> {
        let target = &self.encoder.target;
        let Some(metric) = &self.settings.metric else {
            return Ok(deciding(target).to_owned());
        };
        let known = score(target, &vec![0.0; target.outputs()], &[0.0]);
        if known.contains_key(metric) {
            return Ok(metric.clone());
        }
        let known = crate::names::list(known.keys().map(String::as_str));
        Err(TrainError::Metric {
            metric: metric.clone(),
            known,
        })
    }

    /// From the loss of the standardized target to the target's unit.
    fn loss_unit(&self) -> f64 {
        match &self.encoder.target {
            Target::Regression { sd, .. } => sd * sd,
            Target::Binary { .. } | Target::Multiclass { .. } => 1.0,
        }
    }

    fn score<K: Kernels>(
        &self,
        kernels: &K,
        network: &mut Network<K>,
        data: &DataOn<K>,
        part: &Encoded,
    ) -> Result<Metrics, DeviceError> {
        let outputs = outputs(kernels, network, data)?;
        Ok(score(&self.encoder.target, &outputs, &part.target))
    }
}

impl<K: Kernels> Best<K> {
    /// Takes an epoch that is better than the best so far; the first one always is.
    fn offer(
        &mut self,
        kernels: &K,
        network: &Network<K>,
        metrics: EpochMetrics,
    ) -> Result<(), DeviceError> {
        let value = metrics.validation[&self.metric];
        if self.epoch > 0 && !self.goal.improves(value, self.validation[&self.metric]) {
            return Ok(());
        }
        (self.epoch, self.validation) = (metrics.epoch, metrics.validation);
        kernels.copy(&network.params, &mut self.params)
    }
}

impl<K: Kernels> Learner<'_, K> {
    /// One pass over the data; the mean of its batches' losses, each weighted by its rows.
    fn epoch(&mut self, data: &DataOn<K>, epoch: usize) -> Result<f64, TrainError> {
        let batch_rows = self.settings.batch_size.min(data.rows());
        for slot in 0..self.batches {
            let start = slot * batch_rows;
            let batch = Batch {
                start,
                rows: batch_rows.min(data.rows() - start),
                dropout: self.settings.dropout,
                dropout_key: hash(self.settings.seed ^ self.steps_done, "dropout") as u32,
            };
            self.network.forward(self.kernels, data, batch)?;
            let (kernels, loss) = (self.kernels, self.loss);
            self.network
                .backward(kernels, data, batch, loss, &mut self.losses, slot)?;
            self.step()?;
        }
        // Read once an epoch: asking after each batch would make a GPU wait for the host.
        let mut losses = vec![0.0; self.batches];
        self.kernels.read(&self.losses, &mut losses)?;
        if let Some(bad) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(TrainError::Diverged {
                epoch,
                batch: bad + 1,
            });
        }
        let weighted = losses.iter().enumerate().map(|(slot, loss)| {
            let rows = batch_rows.min(data.rows() - slot * batch_rows);
            f64::from(*loss) * rows as f64
        });
        Ok(weighted.sum::<f64>() / data.rows() as f64)
    }

    fn step(&mut self) -> Result<(), DeviceError> {
        let (len, decayed) = (self.network.layout().len, self.network.layout().decayed);
        let (lr, l2) = (self.lr(), self.settings.l2);
        self.steps_done += 1;
        let (grads, params) = (&self.network.grads, &mut self.network.params);
        match &mut self.memory {
            Memory::Sgd { velocity } => {
                let momentum = self.settings.momentum as f32;
                let step = Sgd {
                    len,
                    decayed,
                    lr: lr as f32,
                    momentum,
                    l2: l2 as f32,
                };
                self.kernels.sgd(step, grads, velocity, params)
            }
            Memory::Adam { first, second } => {
                let step = Adam::at(self.steps_done, len, decayed, lr, l2);
                self.kernels.adam(step, grads, first, second, params)
            }
        }
    }

    fn lr(&self) -> f64 {
        let all = (self.batches * self.settings.epochs) as f64;
        match self.settings.schedule {
            Schedule::Constant => self.settings.lr,
            Schedule::Cosine => {
                let done = self.steps_done as f64 / all;
                self.settings.lr * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

/// The network's outputs for a whole data set, `[rows, outputs]`, on the host.
pub(crate) fn outputs<K: Kernels>(
    kernels: &K,
    network: &mut Network<K>,
    data: &DataOn<K>,
) -> Result<Vec<f32>, DeviceError> {
    let cols = network.architecture().outputs;
    let mut outputs = vec![0.0; data.rows() * cols];
    let rows_max = network.batch_rows_max().min(SCORED_ROWS);
    for (index, part) in outputs.chunks_mut(rows_max * cols).enumerate() {
        network.forward(
            kernels,
            data,
            Batch::plain(index * rows_max, part.len() / cols),
        )?;
        kernels.read(network.outputs(), part)?;
    }
    Ok(outputs)
}

fn loss_of(target: &Target) -> Loss {
    match target {
        Target::Regression { .. } => Loss::Squared,
        Target::Binary { .. } => Loss::Logistic,
        Target::Multiclass { .. } => Loss::Softmax,
    }
}

/// A fresh order of the rows for each epoch.
struct Order {
    stream: Stream,
    rows: Vec<u32>,
}

impl Order {
    fn new(seed: u64, rows: usize) -> Self {
        Self {
            stream: Stream::named(seed, "shuffle"),
            rows: (0..rows as u32).collect(),
        }
    }

    fn next(&mut self) -> &[u32] {
        self.stream.shuffle(&mut self.rows);
        &self.rows
    }
}
