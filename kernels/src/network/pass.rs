//! The passes of a network over a device: forward, loss and backward on one batch at a time.
//!
//! Every buffer is made once, for the largest batch; a pass allocates nothing.

use super::{Architecture, Layout};
use crate::data::Encoded;
use crate::device::{
    Activation, DeviceError, Dropout, Gather, Kernels, Layer, Loss, LossBatch, Part, PartMut,
    Product, Stored,
};

/// A network on a device: parameters, gradients and room for a batch.
pub struct Network<K: Kernels> {
    architecture: Architecture,
    layout: Layout,
    lookup: K::Ids,
    /// The flat buffer of parameters, see [`Architecture::layout`].
    pub params: K::Floats,
    /// The gradients of the last backward pass, laid out as the parameters.
    pub grads: K::Floats,
    input: K::Floats,
    /// Each layer's output; the last holds the network's outputs, then their gradient.
    values: Vec<K::Floats>,
    /// Each layer's input to the activation; empty where its derivative does not need it.
    kept: Vec<K::Floats>,
    /// The gradient of each hidden layer's output.
    deltas: Vec<K::Floats>,
    embedded_delta: K::Floats,
    batch_rows_max: usize,
}

/// A data set on a device.
pub struct DataOn<K: Kernels> {
    rows: usize,
    numeric: K::Floats,
    ids: K::Ids,
    target: K::Floats,
    order: K::Ids,
}

/// Which rows a pass takes, as a range of the data set's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// Where in the order it starts.
    pub start: usize,
    /// How many rows it has.
    pub rows: usize,
    /// The dropped share of the hidden units, 0 for none.
    pub dropout: f64,
    /// Decides, with the layer, which units are dropped.
    pub dropout_key: u32,
}

impl Batch {
    /// A batch without dropout.
    #[must_use]
    pub fn plain(start: usize, rows: usize) -> Self {
        Self {
            start,
            rows,
            dropout: 0.0,
            dropout_key: 0,
        }
    }

    fn dropout_at(&self, layer: usize) -> Option<Dropout> {
        // An odd step keeps the layers' keys apart.
        let key = self
            .dropout_key
            .wrapping_add((layer as u32).wrapping_mul(0x632b_e5ab));
        (self.dropout > 0.0).then(|| Dropout::new(self.dropout, key))
    }
}

impl<K: Kernels> DataOn<K> {
    /// Copies a data set to the device, in its own order.
    pub fn new(kernels: &K, data: &Encoded) -> Result<Self, DeviceError> {
        let order: Vec<u32> = (0..data.rows as u32).collect();
        Ok(Self {
            rows: data.rows,
            numeric: kernels.floats(&data.numeric)?,
            ids: kernels.ids(&data.ids)?,
            target: kernels.floats(&data.target)?,
            order: kernels.ids(&order)?,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Sets the order in which batches take the rows: a permutation of `0..rows`.
    pub fn reorder(&mut self, kernels: &K, order: &[u32]) -> Result<(), DeviceError> {
        kernels.write_ids(order, &mut self.order)
    }
}

impl<K: Kernels> Network<K> {
    /// A network with the given parameters and room for batches of up to `batch_rows_max`.
    pub fn new(
        kernels: &K,
        architecture: Architecture,
        params: &[f32],
        batch_rows_max: usize,
    ) -> Result<Self, DeviceError> {
        let layout = architecture.layout();
        assert_eq!(
            params.len(),
            layout.len,
            "the parameters of another architecture"
        );
        let room = |cols: usize| kernels.zeros(batch_rows_max * cols);
        let all = |cols: &[usize]| {
            cols.iter()
                .map(|cols| room(*cols))
                .collect::<Result<_, _>>()
        };
        let widths: Vec<usize> = layout.layers.iter().map(|layer| layer.units).collect();
        let keeps = architecture.activation.keeps_input();
        let hidden = architecture
            .hidden
            .iter()
            .map(|width| if keeps { *width } else { 0 });
        let kept: Vec<usize> = hidden.chain([0]).collect();
        Ok(Self {
            lookup: kernels.ids(&architecture.lookup())?,
            params: kernels.floats(params)?,
            grads: kernels.zeros(layout.len)?,
            input: room(architecture.inputs())?,
            values: all(&widths)?,
            kept: all(&kept)?,
            deltas: all(&architecture.hidden)?,
            embedded_delta: room(architecture.embedded())?,
            batch_rows_max,
            layout,
            architecture,
        })
    }

    /// The network's shape.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where the parameters lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The most rows of one batch.
    pub fn batch_rows_max(&self) -> usize {
        self.batch_rows_max
    }

    /// The network's outputs of the last forward pass, `[rows, outputs]`.
    pub fn outputs(&self) -> &K::Floats {
        self.values.last().expect("there is always an output layer")
    }

    /// Computes the outputs of a batch.
    pub fn forward(
        &mut self,
        kernels: &K,
        data: &DataOn<K>,
        batch: Batch,
    ) -> Result<(), DeviceError> {
        assert!(
            batch.rows <= self.batch_rows_max,
            "a batch larger than its room"
        );
        let shape = self.gather(batch);
        let (order, lookup) = (&data.order, &self.lookup);
        let (input, params) = (&mut self.input, &self.params);
        kernels.gather(
            shape,
            order,
            &data.numeric,
            &data.ids,
            lookup,
            params,
            input,
        )?;
        for (index, dense) in self.layout.layers.iter().enumerate() {
            let (before, rest) = self.values.split_at_mut(index);
            let input = before.last().unwrap_or(&self.input);
            let shape = Product {
                m: batch.rows,
                n: dense.units,
                k: dense.inputs,
                a: Stored::Plain,
                b: Stored::Plain,
            };
            let output = &mut rest[0];
            kernels.product(
                shape,
                Part::at(input, 0),
                Part::at(&self.params, dense.weights),
                PartMut::at(output, 0),
            )?;
            let bias = Part::at(&self.params, dense.biases);
            let layer = layer_at(&self.architecture, batch, index, dense.units);
            kernels.activate(layer, bias, output, &mut self.kept[index])?;
        }
        Ok(())
    }

    /// After [`Network::forward`] on the same batch: the mean loss into `losses[slot]`, the
    /// gradients of all parameters into `grads`.
    pub fn backward(
        &mut self,
        kernels: &K,
        data: &DataOn<K>,
        batch: Batch,
        loss: Loss,
        losses: &mut K::Floats,
        slot: usize,
    ) -> Result<(), DeviceError> {
        let Batch { start, rows, .. } = batch;
        let cols = self.architecture.outputs;
        let last = self.layout.layers.len() - 1;
        let shape = LossBatch {
            loss,
            start,
            rows,
            cols,
            slot,
        };
        kernels.loss(
            shape,
            &data.order,
            &data.target,
            &mut self.values[last],
            losses,
        )?;
        for index in (0..=last).rev() {
            self.layer_backward(kernels, batch, index)?;
        }
        if self.architecture.embedded() == 0 {
            return Ok(());
        }
        let tables = self.layout.layers[0].weights;
        kernels.clear(tables, &mut self.grads)?;
        let (shape, lookup, delta) = (self.gather(batch), &self.lookup, &self.embedded_delta);
        kernels.scatter(
            shape,
            &data.order,
            &data.ids,
            lookup,
            delta,
            &mut self.grads,
        )
    }

    /// From the gradient of a layer's output to those of its weights, biases and input.
    fn layer_backward(
        &mut self,
        kernels: &K,
        batch: Batch,
        index: usize,
    ) -> Result<(), DeviceError> {
        let dense = self.layout.layers[index];
        let layer = layer_at(&self.architecture, batch, index, dense.units);
        let bias_grad = PartMut::at(&mut self.grads, dense.biases);
        let (before, at) = self.values.split_at_mut(index);
        let (deltas_before, deltas_at) = self.deltas.split_at_mut(index);
        // The output layer's gradient stands where its outputs were.
        let delta = match deltas_at.first_mut() {
            Some(delta) => {
                let kept = if layer.activation.keeps_input() {
                    &self.kept[index]
                } else {
                    &at[0]
                };
                kernels.activate_back(layer, kept, delta, bias_grad)?;
                &*delta
            }
            None => {
                kernels.activate_back(layer, &self.input, &mut at[0], bias_grad)?;
                &at[0]
            }
        };
        let input = before.last().unwrap_or(&self.input);
        let (m, n, k) = (dense.inputs, dense.units, batch.rows);
        let weights_shape = Product {
            m,
            n,
            k,
            a: Stored::Transposed,
            b: Stored::Plain,
        };
        let weights_grad = PartMut::at(&mut self.grads, dense.weights);
        let (left, right) = (Part::at(input, 0), Part::at(delta, 0));
        kernels.product(weights_shape, left, right, weights_grad)?;
        // Nothing learns from the gradient of the numbers: the first layer passes back the
        // embedded columns alone.
        let skipped = if index == 0 {
            self.architecture.numeric
        } else {
            0
        };
        let input_delta = deltas_before.last_mut().unwrap_or(&mut self.embedded_delta);
        let (m, n, k) = (batch.rows, dense.inputs - skipped, dense.units);
        if n == 0 {
            return Ok(());
        }
        let input_shape = Product {
            m,
            n,
            k,
            a: Stored::Plain,
            b: Stored::Transposed,
        };
        let weights = Part::at(&self.params, dense.weights + skipped * dense.units);
        kernels.product(
            input_shape,
            Part::at(delta, 0),
            weights,
            PartMut::at(input_delta, 0),
        )
    }

    fn gather(&self, batch: Batch) -> Gather {
        Gather {
            start: batch.start,
            rows: batch.rows,
            numeric: self.architecture.numeric,
            categorical: self.architecture.embeddings.len(),
            embedded: self.architecture.embedded(),
        }
    }
}

fn layer_at(architecture: &Architecture, batch: Batch, index: usize, cols: usize) -> Layer {
    let hidden = index < architecture.hidden.len();
    Layer {
        rows: batch.rows,
        cols,
        activation: if hidden {
            architecture.activation
        } else {
            Activation::Identity
        },
        dropout: if hidden {
            batch.dropout_at(index)
        } else {
            None
        },
    }
}
