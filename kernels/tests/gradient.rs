//! The gradient of a whole network, every kind of part in it, against finite differences.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kernels::data::Encoded;
use kernels::device::{Cpu, Kernels, Loss};
use kernels::network::{Activation, Architecture, Batch, DataOn, Embedding, Network};
use kernels::random::Stream;

const ROWS: usize = 13;

/// A small network with two embeddings, one of a table that rows share.
fn network(activation: Activation, hidden: &[usize], outputs: usize) -> Architecture {
    Architecture {
        numeric: 3,
        embeddings: vec![
            Embedding { rows: 4, width: 2 },
            Embedding { rows: 6, width: 3 },
        ],
        hidden: hidden.to_vec(),
        activation,
        outputs,
    }
}

fn data(loss: Loss, outputs: usize, stream: &mut Stream) -> Encoded {
    Encoded {
        rows: ROWS,
        numeric: (0..ROWS * 3).map(|_| stream.normal() as f32).collect(),
        ids: (0..ROWS)
            .flat_map(|_| [stream.below(4) as u32, stream.below(6) as u32])
            .collect(),
        target: (0..ROWS)
            .map(|_| match loss {
                Loss::Squared => stream.normal() as f32,
                Loss::Logistic => stream.below(2) as f32,
                Loss::Softmax => stream.below(outputs) as f32,
            })
            .collect(),
    }
}

/// The loss as a function of the parameters, and the gradient at them.
fn loss_and_gradient(
    architecture: &Architecture,
    data: &DataOn<Cpu>,
    params: &[f32],
    loss: Loss,
    batch: Batch,
) -> (f64, Vec<f32>) {
    let cpu = Cpu::new(1);
    let mut network = Network::new(&cpu, architecture.clone(), params, ROWS).unwrap();
    let mut losses = cpu.zeros(1).unwrap();
    network.forward(&cpu, data, batch).unwrap();
    network
        .backward(&cpu, data, batch, loss, &mut losses, 0)
        .unwrap();
    (f64::from(losses[0]), network.grads)
}

#[track_caller]
fn check(activation: Activation, hidden: &[usize], loss: Loss, dropout: f64) {
    let mut stream = Stream::named(11, "gradient");
    let outputs = if loss == Loss::Softmax { 4 } else { 1 };
    let architecture = network(activation, hidden, outputs);
    let cpu = Cpu::new(1);
    let data = DataOn::new(&cpu, &data(loss, outputs, &mut stream)).unwrap();
    let mut params = architecture.initial(3);
    // Biases start at 0, where relu has its kink; moved, every unit has a side.
    params
        .iter_mut()
        .for_each(|w| *w += 0.05 * stream.normal() as f32);
    let batch = Batch {
        start: 2,
        rows: ROWS - 2,
        dropout,
        dropout_key: 99,
    };
    let at = |params: &[f32]| loss_and_gradient(&architecture, &data, params, loss, batch);
    let (_, gradient) = at(&params);
    // A wide step for f32, with the curvature's error taken out by a second, half as wide.
    let slope = |index: usize, step: f32| {
        let mut moved = params.clone();
        moved[index] = params[index] + step;
        let (above, high) = (at(&moved).0, moved[index]);
        moved[index] = params[index] - step;
        let (below, low) = (at(&moved).0, moved[index]);
        (above - below) / f64::from(high - low)
    };
    let mut wrong = Vec::new();
    for (index, found) in gradient.iter().enumerate() {
        let (wide, narrow) = (slope(index, 8e-3), slope(index, 4e-3));
        let expected = (4.0 * narrow - wide) / 3.0;
        let found = f64::from(*found);
        if (found - expected).abs() > 2e-3 * expected.abs().max(0.2) {
            wrong.push((index, found, expected));
        }
    }
    // A unit may cross relu's kink within the step: rare, and a wrong gradient is not.
    let allowed = if activation == Activation::Relu {
        params.len() / 50
    } else {
        0
    };
    assert!(
        wrong.len() <= allowed,
        "{activation:?} {hidden:?} {loss:?} dropout {dropout}: {} of {} wrong: {wrong:?}",
        wrong.len(),
        params.len()
    );
    assert!(gradient.iter().filter(|slope| **slope != 0.0).count() > params.len() / 3);
}

#[test]
fn every_activation() {
    for activation in [
        Activation::Relu,
        Activation::Gelu,
        Activation::Tanh,
        Activation::Sigmoid,
    ] {
        check(activation, &[7, 5], Loss::Squared, 0.0);
    }
}

#[test]
fn every_loss() {
    for loss in [Loss::Squared, Loss::Logistic, Loss::Softmax] {
        check(Activation::Tanh, &[6], loss, 0.0);
    }
}

#[test]
fn every_depth() {
    for hidden in [&[][..], &[1], &[9], &[3, 4, 5]] {
        check(Activation::Gelu, hidden, Loss::Softmax, 0.0);
    }
}

#[test]
fn with_dropout() {
    for activation in [
        Activation::Relu,
        Activation::Gelu,
        Activation::Tanh,
        Activation::Sigmoid,
    ] {
        check(activation, &[8, 6], Loss::Squared, 0.4);
    }
}
