//! The CPU twins: the same kernels as `cuda/*.cu`, by the same names, on slices.
//!
//! Each twin is a plain loop that the compiler turns into vector code, once for each instruction
//! set, and the processor at hand picks one when the device is opened. No operation is reordered
//! and none is fused, so the set does not change an elementwise result; the matrix product alone
//! may differ in its last bits from one kind of processor to another.
//!
//! Submodules: `math` (exp and what follows from it, vectorizable), `product` (the matrix product).

mod math;
mod product;

use std::fmt;

use pulp::Arch;

use super::shapes::{
    Activation, Adam, Gather, Layer, Loss, LossBatch, Part, PartMut, Product, Sgd,
};
use super::{DeviceError, Kernels};

/// The host's processor.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    arch: Arch,
    threads: usize,
}

impl Cpu {
    /// `threads` serve the matrix product, everything else runs on the caller's thread.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            arch: Arch::new(),
            threads: threads.max(1),
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.threads == 1 { "" } else { "s" };
        write!(f, "cpu, {} thread{plural}", self.threads)
    }
}

impl Kernels for Cpu {
    type Floats = Vec<f32>;
    type Ids = Vec<u32>;

    fn zeros(&self, len: usize) -> Result<Vec<f32>, DeviceError> {
        Ok(vec![0.0; len])
    }

    fn floats(&self, host: &[f32]) -> Result<Vec<f32>, DeviceError> {
        Ok(host.to_vec())
    }

    fn ids(&self, host: &[u32]) -> Result<Vec<u32>, DeviceError> {
        Ok(host.to_vec())
    }

    fn floats_len(&self, buffer: &Vec<f32>) -> usize {
        buffer.len()
    }

    fn ids_len(&self, buffer: &Vec<u32>) -> usize {
        buffer.len()
    }

    fn write_ids(&self, host: &[u32], to: &mut Vec<u32>) -> Result<(), DeviceError> {
        to.copy_from_slice(host);
        Ok(())
    }

    fn read(&self, from: &Vec<f32>, host: &mut [f32]) -> Result<(), DeviceError> {
        host.copy_from_slice(&from[..host.len()]);
        Ok(())
    }

    fn copy(&self, from: &Vec<f32>, to: &mut Vec<f32>) -> Result<(), DeviceError> {
        to.copy_from_slice(from);
        Ok(())
    }

    fn clear(&self, len: usize, buffer: &mut Vec<f32>) -> Result<(), DeviceError> {
        buffer[..len].fill(0.0);
        Ok(())
    }

    fn product_unchecked(
        &self,
        shape: Product,
        a: Part<'_, Vec<f32>>,
        b: Part<'_, Vec<f32>>,
        c: PartMut<'_, Vec<f32>>,
    ) -> Result<(), DeviceError> {
        let Product { m, n, k, .. } = shape;
        let a = &a.buffer[a.offset..a.offset + m * k];
        let b = &b.buffer[b.offset..b.offset + k * n];
        let c = &mut c.buffer[c.offset..c.offset + m * n];
        product::product(shape, a, b, c, self.threads);
        Ok(())
    }

    fn gather_unchecked(
        &self,
        shape: Gather,
        order: &Vec<u32>,
        numeric: &Vec<f32>,
        ids: &Vec<u32>,
        lookup: &Vec<u32>,
        params: &Vec<f32>,
        out: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        if shape.width() == 0 {
            return Ok(());
        }
        let order = &order[shape.start..shape.start + shape.rows];
        for (row, out) in order.iter().zip(out.chunks_exact_mut(shape.width())) {
            let row = *row as usize;
            let (numbers, embedded) = out.split_at_mut(shape.numeric);
            numbers.copy_from_slice(&numeric[row * shape.numeric..(row + 1) * shape.numeric]);
            let ids = &ids[row * shape.categorical..(row + 1) * shape.categorical];
            for (out, at) in embedded.iter_mut().zip(lookup.as_chunks().0) {
                *out = params[embedding_index(at, ids)];
            }
        }
        Ok(())
    }

    fn scatter_unchecked(
        &self,
        shape: Gather,
        order: &Vec<u32>,
        ids: &Vec<u32>,
        lookup: &Vec<u32>,
        delta: &Vec<f32>,
        grads: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        if shape.embedded == 0 {
            return Ok(());
        }
        let order = &order[shape.start..shape.start + shape.rows];
        for (row, delta) in order.iter().zip(delta.chunks_exact(shape.embedded)) {
            let row = *row as usize;
            let ids = &ids[row * shape.categorical..(row + 1) * shape.categorical];
            for (delta, at) in delta.iter().zip(lookup.as_chunks().0) {
                grads[embedding_index(at, ids)] += delta;
            }
        }
        Ok(())
    }

    fn activate_unchecked(
        &self,
        layer: Layer,
        bias: Part<'_, Vec<f32>>,
        values: &mut Vec<f32>,
        kept: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let bias = &bias.buffer[bias.offset..bias.offset + layer.cols];
        let values = &mut values[..layer.len()];
        self.arch.dispatch(
            #[inline(always)]
            || match layer.activation {
                Activation::Identity => biased(bias, values, |x| x),
                Activation::Relu => biased(bias, values, math::relu),
                Activation::Tanh => biased(bias, values, math::tanh),
                Activation::Sigmoid => biased(bias, values, math::sigmoid),
                Activation::Gelu => {
                    biased(bias, values, |x| x);
                    let kept = &mut kept[..layer.len()];
                    kept.copy_from_slice(values);
                    values.iter_mut().for_each(|x| *x = math::gelu(*x));
                }
            },
        );
        if let Some(dropout) = layer.dropout {
            for (index, value) in (0u32..).zip(values.iter_mut()) {
                *value *= dropout.factor(index);
            }
        }
        Ok(())
    }

    fn activate_back_unchecked(
        &self,
        layer: Layer,
        kept: &Vec<f32>,
        delta: &mut Vec<f32>,
        bias_grad: PartMut<'_, Vec<f32>>,
    ) -> Result<(), DeviceError> {
        let (start, len) = (bias_grad.offset, layer.len());
        let sums = &mut bias_grad.buffer[start..start + layer.cols];
        let delta = &mut delta[..len];
        // The output was scaled by dropout: its derivative is taken from the value before.
        let mut unscaled = 1.0;
        if let Some(dropout) = layer.dropout {
            unscaled = 1.0 / dropout.scale;
            for (index, delta) in (0u32..).zip(delta.iter_mut()) {
                *delta *= dropout.factor(index);
            }
        }
        self.arch.dispatch(
            #[inline(always)]
            || match layer.activation {
                Activation::Identity => column_sums(delta, sums),
                Activation::Relu => {
                    chained(
                        &kept[..len],
                        delta,
                        sums,
                        |y| if y > 0.0 { 1.0 } else { 0.0 },
                    );
                }
                Activation::Tanh => chained(&kept[..len], delta, sums, |y| {
                    let y = y * unscaled;
                    1.0 - y * y
                }),
                Activation::Sigmoid => chained(&kept[..len], delta, sums, |y| {
                    let y = y * unscaled;
                    y * (1.0 - y)
                }),
                Activation::Gelu => chained(&kept[..len], delta, sums, math::gelu_slope),
            },
        );
        Ok(())
    }

    fn loss_unchecked(
        &self,
        batch: LossBatch,
        order: &Vec<u32>,
        target: &Vec<f32>,
        outputs: &mut Vec<f32>,
        losses: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let order = &order[batch.start..batch.start + batch.rows];
        let outputs = &mut outputs[..batch.rows * batch.cols];
        let share = 1.0 / batch.rows as f32;
        let mut sum = 0.0f32;
        for (row, outputs) in order.iter().zip(outputs.chunks_exact_mut(batch.cols)) {
            let target = target[*row as usize];
            sum += match batch.loss {
                Loss::Squared => squared(target, share, &mut outputs[0]),
                Loss::Logistic => logistic(target, share, &mut outputs[0]),
                Loss::Softmax => softmax(target, share, outputs),
            };
        }
        losses[batch.slot] = sum * share;
        Ok(())
    }

    fn sgd_unchecked(
        &self,
        step: Sgd,
        grads: &Vec<f32>,
        velocity: &mut Vec<f32>,
        params: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let run = |range: std::ops::Range<usize>, l2: f32| {
            let grads = &grads[range.clone()];
            let velocity = &mut velocity[range.clone()];
            let params = &mut params[range];
            self.arch.dispatch(
                #[inline(always)]
                || {
                    for ((w, v), g) in params.iter_mut().zip(velocity).zip(grads) {
                        *v = step.momentum * *v + (g + l2 * *w);
                        *w -= step.lr * *v;
                    }
                },
            );
        };
        decayed_then_free(step.decayed, step.len, step.l2, run);
        Ok(())
    }

    fn adam_unchecked(
        &self,
        step: Adam,
        grads: &Vec<f32>,
        first: &mut Vec<f32>,
        second: &mut Vec<f32>,
        params: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let run = |range: std::ops::Range<usize>, l2: f32| {
            let grads = &grads[range.clone()];
            let first = &mut first[range.clone()];
            let second = &mut second[range.clone()];
            let params = &mut params[range];
            self.arch.dispatch(
                #[inline(always)]
                || {
                    let moments = first.iter_mut().zip(second);
                    for ((w, (m, v)), g) in params.iter_mut().zip(moments).zip(grads) {
                        let g = g + l2 * *w;
                        *m = Adam::BETA1 * *m + (1.0 - Adam::BETA1) * g;
                        *v = Adam::BETA2 * *v + (1.0 - Adam::BETA2) * g * g;
                        *w -= step.lr * *m / (v.sqrt() * step.second_scale + Adam::EPSILON);
                    }
                },
            );
        };
        decayed_then_free(step.decayed, step.len, step.l2, run);
        Ok(())
    }
}

/// Runs over the parameters with the penalty, then over those without.
fn decayed_then_free(
    decayed: usize,
    len: usize,
    l2: f32,
    mut run: impl FnMut(std::ops::Range<usize>, f32),
) {
    run(0..decayed, l2);
    run(decayed..len, 0.0);
}

/// Where in the parameters an embedded column of a row lies.
#[inline(always)]
fn embedding_index(lookup: &[u32; 3], ids: &[u32]) -> usize {
    let [category, base, width] = lookup.map(|item| item as usize);
    base + ids[category] as usize * width
}

#[inline(always)]
fn biased(bias: &[f32], values: &mut [f32], f: impl Fn(f32) -> f32) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value = f(*value + bias);
        }
    }
}

/// delta ← delta·slope(kept), and its sums over the rows.
#[inline(always)]
fn chained(kept: &[f32], delta: &mut [f32], sums: &mut [f32], slope: impl Fn(f32) -> f32) {
    sums.fill(0.0);
    let cols = sums.len();
    for (delta, kept) in delta.chunks_exact_mut(cols).zip(kept.chunks_exact(cols)) {
        for ((delta, kept), sum) in delta.iter_mut().zip(kept).zip(sums.iter_mut()) {
            *delta *= slope(*kept);
            *sum += *delta;
        }
    }
}

#[inline(always)]
fn column_sums(delta: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in delta.chunks_exact(sums.len()) {
        for (sum, delta) in sums.iter_mut().zip(row) {
            *sum += delta;
        }
    }
}

fn squared(target: f32, share: f32, output: &mut f32) -> f32 {
    let error = *output - target;
    *output = 2.0 * error * share;
    error * error
}

fn logistic(target: f32, share: f32, output: &mut f32) -> f32 {
    let z = *output;
    let loss = z.max(0.0) - z * target + math::exp(-z.abs()).ln_1p();
    *output = (math::sigmoid(z) - target) * share;
    loss
}

fn softmax(target: f32, share: f32, outputs: &mut [f32]) -> f32 {
    let highest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let wanted = outputs[target as usize];
    let mut sum = 0.0f32;
    for output in outputs.iter_mut() {
        *output = math::exp(*output - highest);
        sum += *output;
    }
    let loss = sum.ln() - (wanted - highest);
    let scale = share / sum;
    outputs.iter_mut().for_each(|output| *output *= scale);
    outputs[target as usize] -= share;
    loss
}
