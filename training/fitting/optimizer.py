"""An optimizer that updates only the table rows in a batch, because most words and n-grams are in few batches.

With several devices, each calls ``apply`` for itself with the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Update = Callable[..., None]


class LazyAdam(tf.Module):  # type: ignore[misc]
    """Lazy Adam for ``variables``: a sparse gradient (tf.IndexedSlices) updates only its rows.

    ``beta2`` is lower than usual: a training has some thousand steps, and most rows are in few of them.
    """

    def __init__(
        self, variables: Sequence[tf.Variable], beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-7
    ) -> None:
        super().__init__(name="adam")
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon
        self._variables = variables
        self._means = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]
        self._squares = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]

    def apply(self, gradients: Sequence[Any], learning_rate: tf.Tensor, step: tf.Tensor) -> None:
        """Apply step number ``step``, counted from 1, with ``gradients`` in the order of the variables."""
        step = tf.cast(step, tf.float32)
        rate = learning_rate * tf.sqrt(1 - self._beta2**step) / (1 - self._beta1**step)
        slots = zip(self._variables, self._means, self._squares, gradients, strict=True)
        for variable, mean, square, gradient in slots:
            _on_every_device(variable, self._update, mean, square, gradient, rate)

    def _update(self, variable: Any, mean: Any, square: Any, gradient: Any, rate: tf.Tensor) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            self._update_rows(variable, mean, square, gradient, rate)
            return
        mean.assign(self._beta1 * mean + (1 - self._beta1) * gradient)
        square.assign(self._beta2 * square + (1 - self._beta2) * gradient**2)
        variable.assign_sub(rate * mean / (tf.sqrt(square) + self._epsilon))

    def _update_rows(self, variable: Any, mean: Any, square: Any, gradient: Any, rate: tf.Tensor) -> None:
        rows, inverse = tf.unique(gradient.indices)
        summed = tf.math.unsorted_segment_sum(gradient.values, inverse, tf.size(rows))
        new_mean = self._beta1 * tf.gather(mean, rows) + (1 - self._beta1) * summed
        new_square = self._beta2 * tf.gather(square, rows) + (1 - self._beta2) * summed**2
        mean.scatter_update(tf.IndexedSlices(new_mean, rows))
        square.scatter_update(tf.IndexedSlices(new_square, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * new_mean / (tf.sqrt(new_square) + self._epsilon), rows))


def _on_every_device(variable: tf.Variable, update: Update, *arguments: Any) -> None:
    """Call ``update`` with each device's copy of the variable and of the arguments."""

    def all_copies(strategy: tf.distribute.Strategy, *values: Any) -> None:
        strategy.extended.update(variable, update, args=values, group=False)

    tf.distribute.get_replica_context().merge_call(all_copies, args=arguments)
