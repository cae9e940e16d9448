//! Every kernel against a plain f64 reference, over odd shapes, on every device there is.
//!
//! One body runs for the CPU and, where a driver answers, for CUDA; a device that is not there is
//! told on standard error.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use kernels::device::{
    Activation, Adam, Cpu, Cuda, Dropout, Gather, Kernels, Layer, Loss, LossBatch, Part, PartMut,
    Product, Sgd, Stored,
};
use kernels::random::Stream;

/// A test that runs one body on each device; a macro, since the devices differ in type.
macro_rules! on_each_device {
    ($test:ident, $body:ident) => {
        #[test]
        fn $test() {
            $body(&Cpu::new(1));
            $body(&Cpu::new(2));
            match Cuda::open(0) {
                Ok(cuda) => $body(&cuda),
                // Straight to standard error: what a passing test prints is not shown.
                Err(reason) => {
                    let line = format!("SKIPPED {} on cuda: {reason}", stringify!($test));
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
        }
    };
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Gelu,
    Activation::Tanh,
    Activation::Sigmoid,
];

/// Row counts and column counts around the sizes that vectors, blocks and tiles have.
const SIDES: [usize; 9] = [1, 2, 3, 7, 8, 17, 33, 65, 130];

on_each_device!(products, check_products);
on_each_device!(activations_forward_and_back, check_activations);
on_each_device!(losses, check_losses);
on_each_device!(optimizer_steps, check_steps);
on_each_device!(gather_and_scatter, check_embeddings);
on_each_device!(moves, check_moves);

fn check_products<K: Kernels>(kernels: &K) {
    let mut stream = Stream::named(1, "products");
    for case in 0..200 {
        let mut side = || SIDES[stream.below(SIDES.len())];
        let (m, n, k) = (side(), side(), side());
        let stored = [Stored::Plain, Stored::Transposed];
        let (a_stored, b_stored) = (stored[case % 2], stored[case / 2 % 2]);
        let (a, b) = (
            normals(&mut stream, 3 + m * k),
            normals(&mut stream, 5 + k * n),
        );
        let at = |stored, row: usize, col: usize, rows: usize, cols: usize| match stored {
            Stored::Plain => row * cols + col,
            Stored::Transposed => col * rows + row,
        };
        let mut expected = vec![0.0f64; m * n];
        for i in 0..m {
            for j in 0..n {
                for l in 0..k {
                    let left = f64::from(a[3 + at(a_stored, i, l, m, k)]);
                    expected[i * n + j] += left * f64::from(b[5 + at(b_stored, l, j, k, n)]);
                }
            }
        }
        let (a, b) = (kernels.floats(&a).unwrap(), kernels.floats(&b).unwrap());
        let mut c = kernels.floats(&vec![f32::NAN; 7 + m * n]).unwrap();
        kernels
            .product(
                Product {
                    m,
                    n,
                    k,
                    a: a_stored,
                    b: b_stored,
                },
                Part {
                    buffer: &a,
                    offset: 3,
                },
                Part {
                    buffer: &b,
                    offset: 5,
                },
                PartMut {
                    buffer: &mut c,
                    offset: 7,
                },
            )
            .unwrap();
        let found = read(kernels, &c);
        assert!(
            found[..7].iter().all(|x| x.is_nan()),
            "written before the offset"
        );
        let label = format!("product {m}x{k} {a_stored:?} by {k}x{n} {b_stored:?}");
        close(&label, &found[7..], &expected, 3e-6 * (k as f64).sqrt());
    }
}

fn check_activations<K: Kernels>(kernels: &K) {
    let mut stream = Stream::named(1, "activations");
    for (case, activation) in ACTIVATIONS.iter().copied().cycle().take(100).enumerate() {
        let rows = SIDES[stream.below(SIDES.len())];
        let cols = SIDES[stream.below(SIDES.len())];
        let dropout = (case % 3 == 2 && activation != Activation::Identity)
            .then(|| Dropout::new(0.3, case as u32));
        let layer = Layer {
            rows,
            cols,
            activation,
            dropout,
        };
        let sums = normals(&mut stream, rows * cols);
        let bias = normals(&mut stream, 2 + cols);
        let delta = normals(&mut stream, rows * cols);
        let factor = |i: usize| dropout.map_or(1.0, |d| f64::from(d.factor(i as u32)));
        let input = |i: usize| f64::from(sums[i]) + f64::from(bias[2 + i % cols]);
        let outputs: Vec<f64> = (0..rows * cols)
            .map(|i| function(activation, input(i)) * factor(i))
            .collect();
        let slopes = (0..rows * cols)
            .map(|i| f64::from(delta[i]) * factor(i) * derivative(activation, input(i)));
        let slopes: Vec<f64> = slopes.collect();
        let mut bias_grad = vec![0.0; cols];
        slopes
            .iter()
            .enumerate()
            .for_each(|(i, slope)| bias_grad[i % cols] += slope);

        let bias = kernels.floats(&bias).unwrap();
        let mut values = kernels.floats(&sums).unwrap();
        let mut kept = kernels.zeros(rows * cols).unwrap();
        let part = Part {
            buffer: &bias,
            offset: 2,
        };
        kernels
            .activate(layer, part, &mut values, &mut kept)
            .unwrap();
        let label = format!("{activation:?} {rows}x{cols} {dropout:?}");
        close(
            &format!("{label} forward"),
            &read(kernels, &values),
            &outputs,
            1e-6,
        );

        let mut delta = kernels.floats(&delta).unwrap();
        let mut grads = kernels.floats(&vec![f32::NAN; 3 + cols]).unwrap();
        let kept = if activation.keeps_input() {
            &kept
        } else {
            &values
        };
        let part = PartMut {
            buffer: &mut grads,
            offset: 3,
        };
        kernels
            .activate_back(layer, kept, &mut delta, part)
            .unwrap();
        close(
            &format!("{label} back"),
            &read(kernels, &delta),
            &slopes,
            4e-6,
        );
        let found = read(kernels, &grads);
        close(
            &format!("{label} bias"),
            &found[3..],
            &bias_grad,
            3e-6 * rows as f64,
        );
    }
}

fn check_losses<K: Kernels>(kernels: &K) {
    let mut stream = Stream::named(1, "losses");
    let kinds = [Loss::Squared, Loss::Logistic, Loss::Softmax];
    for loss in kinds.into_iter().cycle().take(90) {
        let rows = [1, 2, 31, 255, 256, 257, 600][stream.below(7)];
        let cols = if loss == Loss::Softmax {
            2 + stream.below(12)
        } else {
            1
        };
        let (held, start) = (rows + 9, stream.below(10));
        let outputs: Vec<f32> = (0..rows * cols)
            .map(|_| (4.0 * stream.normal()) as f32)
            .collect();
        let target: Vec<f32> = match loss {
            Loss::Squared => normals(&mut stream, held),
            Loss::Logistic => (0..held).map(|_| stream.below(2) as f32).collect(),
            Loss::Softmax => (0..held).map(|_| stream.below(cols) as f32).collect(),
        };
        let mut order: Vec<u32> = (0..held as u32).collect();
        stream.shuffle(&mut order);
        let (mut expected, mut sum) = (Vec::new(), 0.0);
        for (row, outputs) in outputs.chunks_exact(cols).enumerate() {
            let wanted = target[order[start + row] as usize];
            let (loss, slopes) = reference_loss(loss, outputs, wanted);
            sum += loss;
            expected.extend(slopes.iter().map(|slope| slope / rows as f64));
        }
        let (order, target) = (
            kernels.ids(&order).unwrap(),
            kernels.floats(&target).unwrap(),
        );
        let mut outputs = kernels.floats(&outputs).unwrap();
        let mut losses = kernels.zeros(3).unwrap();
        let batch = LossBatch {
            loss,
            start,
            rows,
            cols,
            slot: 1,
        };
        kernels
            .loss(batch, &order, &target, &mut outputs, &mut losses)
            .unwrap();
        let label = format!("{loss:?} {rows}x{cols}");
        close(&label, &read(kernels, &outputs), &expected, 2e-6);
        close(
            &label,
            &read(kernels, &losses),
            &[0.0, sum / rows as f64, 0.0],
            1e-5,
        );
    }
}

fn check_steps<K: Kernels>(kernels: &K) {
    let mut stream = Stream::named(1, "steps");
    for len in [1, 5, 64, 257, 1_031] {
        let decayed = stream.below(len + 1);
        let (start, grads) = (normals(&mut stream, len), normals(&mut stream, 3 * len));
        let (lr, momentum, l2) = (0.05, 0.8, 0.1);
        let penalty = |i: usize| if i < decayed { l2 } else { 0.0 };

        let mut expected: Vec<f64> = start.iter().map(|w| f64::from(*w)).collect();
        let mut velocity = vec![0.0f64; len];
        let mut params = kernels.floats(&start).unwrap();
        let mut memory = kernels.zeros(len).unwrap();
        let step = Sgd {
            len,
            decayed,
            lr: lr as f32,
            momentum: 0.8,
            l2: 0.1,
        };
        for grads in grads.chunks_exact(len) {
            for i in 0..len {
                let g = f64::from(grads[i]) + penalty(i) * expected[i];
                velocity[i] = momentum * velocity[i] + g;
                expected[i] -= lr * velocity[i];
            }
            let grads = kernels.floats(grads).unwrap();
            kernels.sgd(step, &grads, &mut memory, &mut params).unwrap();
        }
        close(
            &format!("sgd {len}"),
            &read(kernels, &params),
            &expected,
            2e-6,
        );

        let mut expected: Vec<f64> = start.iter().map(|w| f64::from(*w)).collect();
        let (mut m, mut v) = (vec![0.0f64; len], vec![0.0f64; len]);
        let mut params = kernels.floats(&start).unwrap();
        let (mut first, mut second) = (kernels.zeros(len).unwrap(), kernels.zeros(len).unwrap());
        for (t, grads) in (1u64..).zip(grads.chunks_exact(len)) {
            for i in 0..len {
                let g = f64::from(grads[i]) + penalty(i) * expected[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let m_hat = m[i] / (1.0 - 0.9f64.powi(t as i32));
                let v_hat = v[i] / (1.0 - 0.999f64.powi(t as i32));
                expected[i] -= lr * m_hat / (v_hat.sqrt() + 1e-8);
            }
            let grads = kernels.floats(grads).unwrap();
            let step = Adam::at(t, len, decayed, lr, l2);
            kernels
                .adam(step, &grads, &mut first, &mut second, &mut params)
                .unwrap();
        }
        // β₂ = 0.999 in f32 is off by 5e-8 of itself, and 1 − β₂ by 5e-5.
        close(
            &format!("adam {len}"),
            &read(kernels, &params),
            &expected,
            5e-6,
        );
    }
}

fn check_embeddings<K: Kernels>(kernels: &K) {
    let mut stream = Stream::named(1, "embeddings");
    for _ in 0..60 {
        let (held, numeric, categorical) = (40, stream.below(6), stream.below(5));
        let rows = 1 + stream.below(30);
        let start = stream.below(held - rows + 1);
        let tables: Vec<(usize, usize)> = (0..categorical)
            .map(|_| (1 + stream.below(9), 1 + stream.below(4)))
            .collect();
        let embedded: usize = tables.iter().map(|(_, width)| width).sum();
        let (mut lookup, mut base) = (Vec::new(), 4);
        for (category, (rows, width)) in tables.iter().enumerate() {
            lookup.extend((0..*width).flat_map(|c| [category, base + c, *width].map(|x| x as u32)));
            base += rows * width;
        }
        let params = normals(&mut stream, base);
        let numbers = normals(&mut stream, held * numeric);
        let ids: Vec<u32> = (0..held * categorical)
            .map(|i| stream.below(tables[i % categorical].0) as u32)
            .collect();
        let delta = normals(&mut stream, rows * embedded);
        let mut order: Vec<u32> = (0..held as u32).collect();
        stream.shuffle(&mut order);

        let width = numeric + embedded;
        let (mut expected, mut grads) = (Vec::new(), vec![1.0f64; base]);
        for (i, row) in order[start..start + rows]
            .iter()
            .map(|row| *row as usize)
            .enumerate()
        {
            let (mut base, mut column) = (4, 0);
            expected.extend(
                numbers[row * numeric..(row + 1) * numeric]
                    .iter()
                    .map(|x| f64::from(*x)),
            );
            for (category, (table_rows, table_width)) in tables.iter().enumerate() {
                let id = ids[row * categorical + category] as usize;
                for c in 0..*table_width {
                    expected.push(f64::from(params[base + id * table_width + c]));
                    grads[base + id * table_width + c] += f64::from(delta[i * embedded + column]);
                    column += 1;
                }
                base += table_rows * table_width;
            }
        }
        let shape = Gather {
            start,
            rows,
            numeric,
            categorical,
            embedded,
        };
        let (order, ids) = (kernels.ids(&order).unwrap(), kernels.ids(&ids).unwrap());
        let lookup = kernels.ids(&lookup).unwrap();
        let (numbers, params) = (
            kernels.floats(&numbers).unwrap(),
            kernels.floats(&params).unwrap(),
        );
        let mut out = kernels.zeros(rows * width).unwrap();
        kernels
            .gather(shape, &order, &numbers, &ids, &lookup, &params, &mut out)
            .unwrap();
        close(
            "gather",
            &read(kernels, &out)[..rows * width],
            &expected,
            0.0,
        );
        let delta = kernels.floats(&delta).unwrap();
        let mut sums = kernels.floats(&vec![1.0; base]).unwrap();
        kernels
            .scatter(shape, &order, &ids, &lookup, &delta, &mut sums)
            .unwrap();
        close("scatter", &read(kernels, &sums), &grads, 1e-5);
    }
}

fn check_moves<K: Kernels>(kernels: &K) {
    let host: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let mut buffer = kernels.floats(&host).unwrap();
    let mut other = kernels.zeros(100).unwrap();
    kernels.copy(&buffer, &mut other).unwrap();
    kernels.clear(40, &mut buffer).unwrap();
    assert_eq!(read(kernels, &other), host);
    let found = read(kernels, &buffer);
    assert!(found[..40].iter().all(|x| *x == 0.0) && found[40..] == host[40..]);
    kernels.clear(0, &mut buffer).unwrap();
    kernels.read(&buffer, &mut []).unwrap();
}

#[test]
#[should_panic(expected = "a part beyond its buffer")]
fn a_wrong_shape_is_refused_before_the_kernel() {
    let cpu = Cpu::new(1);
    let (a, b, mut c) = (vec![0.0; 6], vec![0.0; 6], vec![0.0; 3]);
    let shape = Product {
        m: 2,
        n: 2,
        k: 3,
        a: Stored::Plain,
        b: Stored::Plain,
    };
    let _ = cpu.product(
        shape,
        Part {
            buffer: &a,
            offset: 0,
        },
        Part {
            buffer: &b,
            offset: 0,
        },
        PartMut {
            buffer: &mut c,
            offset: 0,
        },
    );
}

#[test]
fn dropout_drops_its_share_and_keeps_the_mean() {
    for share in [0.1, 0.5, 0.9] {
        let dropout = Dropout::new(share, 77);
        let n = 100_000u32;
        let factors = || (0..n).map(|i| f64::from(dropout.factor(i)));
        let kept = factors().filter(|factor| *factor > 0.0).count() as f64 / f64::from(n);
        assert!((kept - (1.0 - share)).abs() < 0.01, "{share}: kept {kept}");
        assert!((factors().sum::<f64>() / f64::from(n) - 1.0).abs() < 0.05);
    }
}

fn function(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Gelu => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
    }
}

/// By central differences of the function, so that it owes nothing to the code under test.
fn derivative(activation: Activation, x: f64) -> f64 {
    const STEP: f64 = 1e-5;
    if activation == Activation::Relu {
        return f64::from(u8::from(x > 0.0));
    }
    (function(activation, x + STEP) - function(activation, x - STEP)) / (2.0 * STEP)
}

fn reference_loss(loss: Loss, outputs: &[f32], wanted: f32) -> (f64, Vec<f64>) {
    let z: Vec<f64> = outputs.iter().map(|z| f64::from(*z)).collect();
    let wanted = f64::from(wanted);
    match loss {
        Loss::Squared => ((z[0] - wanted).powi(2), vec![2.0 * (z[0] - wanted)]),
        Loss::Logistic => {
            let p = 1.0 / (1.0 + (-z[0]).exp());
            (
                -(wanted * p.ln() + (1.0 - wanted) * (1.0 - p).ln()),
                vec![p - wanted],
            )
        }
        Loss::Softmax => {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            let class = wanted as usize;
            let slopes = z
                .iter()
                .enumerate()
                .map(|(i, z)| z.exp() / sum - f64::from(u8::from(i == class)));
            (sum.ln() - z[class], slopes.collect())
        }
    }
}

fn normals(stream: &mut Stream, len: usize) -> Vec<f32> {
    (0..len).map(|_| stream.normal() as f32).collect()
}

fn read<K: Kernels>(kernels: &K, buffer: &K::Floats) -> Vec<f32> {
    let mut host = vec![0.0; kernels.floats_len(buffer)];
    kernels.read(buffer, &mut host).unwrap();
    host
}

/// Each difference is within `tolerance` of the larger of 1 and the expected magnitude.
#[track_caller]
fn close(label: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{label}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs() / expected.abs().max(1.0);
        assert!(
            error <= tolerance,
            "{label}[{i}]: {found} for {expected}, error {error:e}"
        );
    }
}
