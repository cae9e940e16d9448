//! How many rows a second a training step takes in, by network, batch and optimizer.
//!
//! `cargo run --release -p kernels --example throughput [-- cpu|cuda|cuda:N [THREADS]]` prints the
//! median of five rounds. FLOP count 6 for each weight and row, as is usual: forward, gradient of
//! the weights, gradient of the inputs; the first layer's third is not computed, nor counted less.

use std::time::{Duration, Instant};

use kernels::data::Encoded;
use kernels::device::{
    Adam, Device, DeviceChoice, DeviceError, Kernels, Loss, Part, PartMut, Product, Sgd, Stored,
};
use kernels::network::{Activation, Architecture, Batch, DataOn, Network};
use kernels::random::Stream;
use kernels::train::Optimizer;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let choice: DeviceChoice = arguments.next().as_deref().unwrap_or("cpu").parse()?;
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let (device, description) = Device::open(choice, threads)?;
    println!("{description}");
    let peak = match &device {
        Device::Cpu(cpu) => product_gflops(cpu)?,
        Device::Cuda(cuda) => product_gflops(&**cuda)?,
    };
    println!("product of two 1024 x 1024 matrices: {peak:.1} GFLOP/s");
    println!(
        "{:<18}{:>7}{:>7}{:>13}{:>10}",
        "network", "batch", "", "samples/s", "GFLOP/s"
    );
    for (widths, batches) in [
        (&[64, 256, 128, 1][..], &[32, 128, 1_024][..]),
        (&[512, 1_024, 1_024, 1], &[128, 1_024]),
    ] {
        for batch in batches {
            for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
                let case = Case {
                    widths,
                    batch: *batch,
                    optimizer,
                };
                let samples_per_s = match &device {
                    Device::Cpu(cpu) => case.measure(cpu)?,
                    Device::Cuda(cuda) => case.measure(&**cuda)?,
                };
                case.print(samples_per_s);
            }
        }
    }
    Ok(())
}

/// What the matrix product alone does: the measure of all below.
fn product_gflops<K: Kernels>(kernels: &K) -> Result<f64, DeviceError> {
    const SIDE: usize = 1_024;
    let mut stream = Stream::named(1, "product");
    let host: Vec<f32> = (0..SIDE * SIDE).map(|_| stream.normal() as f32).collect();
    let (a, b) = (kernels.floats(&host)?, kernels.floats(&host)?);
    let mut c = kernels.zeros(SIDE * SIDE)?;
    let (m, n, k) = (SIDE, SIDE, SIDE);
    let shape = Product {
        m,
        n,
        k,
        a: Stored::Plain,
        b: Stored::Plain,
    };
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (started, mut products) = (Instant::now(), 0);
        while started.elapsed() < ROUND {
            kernels.product(
                shape,
                Part::at(&a, 0),
                Part::at(&b, 0),
                PartMut::at(&mut c, 0),
            )?;
            products += 1;
        }
        kernels.read(&c, &mut [0.0])?;
        let flops = 2.0 * f64::from(products) * (SIDE as f64).powi(3);
        rates.push(flops / started.elapsed().as_secs_f64() / 1e9);
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[ROUNDS / 2])
}

struct Case {
    widths: &'static [usize],
    batch: usize,
    optimizer: Optimizer,
}

impl Case {
    fn measure<K: Kernels>(&self, kernels: &K) -> Result<f64, DeviceError> {
        let architecture = Architecture {
            numeric: self.widths[0],
            embeddings: Vec::new(),
            hidden: self.widths[1..self.widths.len() - 1].to_vec(),
            activation: Activation::Relu,
            outputs: 1,
        };
        let data = self.data();
        let data = DataOn::new(kernels, &data)?;
        let params = architecture.initial(1);
        let mut network = Network::new(kernels, architecture, &params, self.batch)?;
        let mut losses = kernels.zeros(1)?;
        let (mut first, mut second) = (kernels.zeros(params.len())?, kernels.zeros(params.len())?);
        let (len, decayed) = (network.layout().len, network.layout().decayed);
        let batches = data.rows() / self.batch;
        let mut rates = Vec::new();
        let mut step = 0u64;
        for _ in 0..ROUNDS {
            let (started, before) = (Instant::now(), step);
            while started.elapsed() < ROUND {
                let start = (step as usize % batches) * self.batch;
                let batch = Batch::plain(start, self.batch);
                network.forward(kernels, &data, batch)?;
                network.backward(kernels, &data, batch, Loss::Squared, &mut losses, 0)?;
                step += 1;
                let (grads, params) = (&network.grads, &mut network.params);
                match self.optimizer {
                    Optimizer::Sgd => {
                        let step = Sgd {
                            len,
                            decayed,
                            lr: 1e-4,
                            momentum: 0.9,
                            l2: 1e-5,
                        };
                        kernels.sgd(step, grads, &mut first, params)?;
                    }
                    Optimizer::Adam => {
                        let step = Adam::at(step, len, decayed, 1e-4, 1e-5);
                        kernels.adam(step, grads, &mut first, &mut second, params)?;
                    }
                }
            }
            // Reading waits for all that was launched.
            kernels.read(&losses, &mut [0.0])?;
            let samples = (step - before) as f64 * self.batch as f64;
            rates.push(samples / started.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates[ROUNDS / 2])
    }

    fn data(&self) -> Encoded {
        let rows = 8 * self.batch;
        let mut stream = Stream::named(1, "throughput");
        let mut normals =
            |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal() as f32).collect() };
        Encoded {
            rows,
            numeric: normals(rows * self.widths[0]),
            ids: Vec::new(),
            target: normals(rows),
        }
    }

    fn print(&self, samples_per_s: f64) {
        let weights: usize = self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let name: Vec<String> = self.widths.iter().map(ToString::to_string).collect();
        let gflops = samples_per_s * 6.0 * weights as f64 / 1e9;
        println!(
            "{:<18}{:>7}{:>7}{samples_per_s:>13.0}{gflops:>10.1}",
            name.join("-"),
            self.batch,
            self.optimizer.to_string(),
        );
    }
}
