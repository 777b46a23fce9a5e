"""The network: word vectors, a bidirectional LSTM, pooling over time, one logit for each label."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from text import UNKNOWN, Vectorizer


@dataclass(frozen=True)
class Shape:
    """The network's size and how strongly it is regularised."""

    embedding_size: int
    lstm_units: int
    word_dropout: float
    spatial_dropout: float
    dropout: float


class LSTM(tf.Module):  # type: ignore[misc]
    """One direction, by TensorFlow's fused CPU kernel: twice as fast in training as a loop over time.

    Not BlockLSTMV2: its gradient, as TensorFlow registers it, is that of BlockLSTM, which has another order of gates.
    """

    def __init__(self, inputs: int, units: int, seed: list[int], name: str) -> None:
        super().__init__(name=name)
        self.units = units
        self.kernel = tf.Variable(_glorot([inputs + units, 4 * units], seed), name="kernel")
        # The gates are in the order input, cell, forget, output. To remember is the better start.
        self.bias = tf.Variable(tf.repeat([0.0, 0.0, 1.0, 0.0], units), name="bias")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """[time, batch, inputs] to the hidden states [time, batch, units]."""
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


class Network(tf.Module):  # type: ignore[misc]
    """Ids of words to logits."""

    def __init__(self, vocabulary_size: int, labels: int, shape: Shape, seed: int) -> None:
        super().__init__(name="network")
        self._shape = shape
        table = tf.random.stateless_normal([vocabulary_size, shape.embedding_size], [seed, 1], stddev=0.1)
        self.embedding = tf.Variable(table, name="embedding")
        self.forward = LSTM(shape.embedding_size, shape.lstm_units, [seed, 2], "forward")
        self.backward = LSTM(shape.embedding_size, shape.lstm_units, [seed, 3], "backward")
        self.kernel = tf.Variable(_glorot([4 * shape.lstm_units, labels], [seed, 4]), name="kernel")
        self.bias = tf.Variable(tf.zeros([labels]), name="bias")

    def __call__(self, ids: tf.Tensor, lengths: tf.Tensor, dropout_seed: tf.Tensor = None) -> tf.Tensor:
        """Ids [batch, time] and lengths [batch] to logits [batch, labels]; with a seed [2], with dropout."""
        training = dropout_seed is not None
        if training:
            ids = tf.where(_chance(tf.shape(ids), dropout_seed, 1) < self._shape.word_dropout, UNKNOWN, ids)
        vectors = tf.gather(self.embedding, ids)
        if training:
            whole_dimensions = [tf.shape(ids)[0], 1, self._shape.embedding_size]
            vectors = _drop(vectors, whole_dimensions, self._shape.spatial_dropout, dropout_seed, 2)
        pooled = self._pooled(vectors, lengths)
        if training:
            pooled = _drop(pooled, tf.shape(pooled), self._shape.dropout, dropout_seed, 3)
        return pooled @ self.kernel + self.bias

    def _pooled(self, vectors: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The largest and the mean hidden state over each text's own words, both directions."""
        backwards = tf.reverse_sequence(vectors, lengths, seq_axis=1)
        forward_states = self.forward(tf.transpose(vectors, [1, 0, 2]))
        # These stay in the order in which they were read, last word first: pooling does not mind.
        backward_states = self.backward(tf.transpose(backwards, [1, 0, 2]))
        states = tf.concat([forward_states, backward_states], axis=2)
        mask = tf.transpose(tf.sequence_mask(lengths, tf.shape(vectors)[1], tf.float32))[:, :, None]
        states *= mask
        mean = tf.reduce_sum(states, axis=0) / tf.maximum(tf.reduce_sum(mask, axis=0), 1.0)
        largest = tf.reduce_max(states + mask - 1, axis=0)  # states are above -1, so padding never is the largest
        return tf.concat([largest, mean], axis=1)


class Classifier(tf.Module):  # type: ignore[misc]
    """Raw texts to probabilities: what is exported and served."""

    def __init__(self, vectorizer: Vectorizer, network: Network, logit_shift: list[float]) -> None:
        super().__init__(name="classifier")
        self.vectorizer, self.network = vectorizer, network
        self._logit_shift = tf.constant(logit_shift, tf.float32)

    def probabilities(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Ids [batch, time] and lengths [batch] to probabilities [batch, labels]."""
        return tf.sigmoid(self.network(ids, lengths) + self._logit_shift)

    def save(self, folder: str) -> None:
        """A SavedModel whose default signature takes ``text`` [batch] and answers ``probabilities``."""

        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": self.probabilities(*self.vectorizer(text))}

        # The fused LSTM kernel has no XLA version, which "auto" might ask for on a GPU.
        signature = [tf.TensorSpec([None], tf.string, name="text")]
        served = tf.function(serve, input_signature=signature, jit_compile=False)
        tf.saved_model.save(self, folder, signatures={"serving_default": served})


def _glorot(shape: list[int], seed: list[int]) -> tf.Tensor:
    limit = (6 / sum(shape)) ** 0.5
    return tf.random.stateless_uniform(shape, seed, -limit, limit)


def _drop(values: tf.Tensor, noise_shape: tf.Tensor, rate: float, seed: tf.Tensor, place: int) -> tf.Tensor:
    """Sets a share ``rate`` of the values to zero, the others so much larger that the mean stays."""
    kept = tf.cast(_chance(noise_shape, seed, place) >= rate, tf.float32)
    return values * kept / (1 - rate)


def _chance(shape: tf.Tensor, seed: tf.Tensor, place: int) -> tf.Tensor:
    """Random numbers in [0, 1), different ones for each ``place`` in the network."""
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, place))
