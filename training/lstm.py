"""A long short-term memory layer by a fused kernel: on a CPU TensorFlow's own, on a GPU cuDNN's, from the same weights.

On a CPU it is twice as fast in training as a loop over time. What is exported always is the CPU's.
"""

from __future__ import annotations

import tensorflow as tf


class LSTM(tf.Module):  # type: ignore[misc]
    """One direction.

    Not BlockLSTMV2: its gradient, as TensorFlow registers it, is that of BlockLSTM, which has another order of gates.
    """

    def __init__(self, inputs: int, units: int, seed: list[int], name: str) -> None:
        super().__init__(name=name)
        self.units = units
        self.kernel = tf.Variable(glorot([inputs + units, 4 * units], seed), name="kernel")
        # The gates are in the order input, cell, forget, output. To remember is the better start.
        self.bias = tf.Variable(tf.repeat([0.0, 0.0, 1.0, 0.0], units), name="bias")

    def __call__(self, inputs: tf.Tensor, on_gpu: bool = False) -> tf.Tensor:
        """[time, batch, inputs] to the hidden states [time, batch, units]."""
        return self._on_gpu(inputs) if on_gpu else self._on_cpu(inputs)

    def cudnn_parameters(self) -> tf.Tensor:
        """The weights in cuDNN's order: its gates are input, forget, cell, output; all matrices, then all biases."""
        i, c, f, o = tf.split(self.kernel, 4, axis=1)
        inputs = self.kernel.shape[0] - self.units
        matrices = [gate[part] for part in (slice(inputs), slice(inputs, None)) for gate in (i, f, c, o)]
        i, c, f, o = tf.split(self.bias, 4)
        biases = [i, f, c, o, tf.zeros([4 * self.units])]  # cuDNN has two for each gate and adds them
        return tf.concat([*(tf.reshape(tf.transpose(matrix), [-1]) for matrix in matrices), *biases], 0)

    def _on_gpu(self, inputs: tf.Tensor) -> tf.Tensor:
        """Padding comes last, where what it does to the states matters to nobody: no lengths are needed."""
        zeros = tf.zeros([1, tf.shape(inputs)[1], self.units])
        return tf.raw_ops.CudnnRNNV2(
            input=inputs, input_h=zeros, input_c=zeros, params=self.cudnn_parameters(), rnn_mode="lstm"
        ).output

    def _on_cpu(self, inputs: tf.Tensor) -> tf.Tensor:
        zeros = tf.zeros([tf.shape(inputs)[1], self.units])
        peephole = tf.zeros([self.units])
        return tf.raw_ops.BlockLSTM(
            seq_len_max=tf.shape(inputs, tf.int64)[0],
            x=inputs,
            cs_prev=zeros,
            h_prev=zeros,
            w=self.kernel,
            wci=peephole,
            wcf=peephole,
            wco=peephole,
            b=self.bias,
            forget_bias=0.0,
            cell_clip=-1.0,
        ).h


def glorot(shape: list[int], seed: list[int]) -> tf.Tensor:
    """Random weights by Glorot and Bengio's rule, the same for the same seed."""
    limit = (6 / sum(shape)) ** 0.5
    return tf.random.stateless_uniform(shape, seed, -limit, limit)
