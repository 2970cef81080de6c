"""What the replicas of one training on several devices must agree on, so that they train as one device does."""

from typing import Any

import keras

Tensor = Any


def count() -> int:
    """Counts the replicas of the distribution that is in effect; 1 where there is none."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf  # the other backends do without

    return tf.distribute.get_strategy().num_replicas_in_sync


def total(values: Tensor) -> Tensor:
    """Adds up what every replica computed; called by all of them, from within a step.

    Args:
        values: any shape, the same in all replicas.

    Returns:
        Their sum, the same in all replicas; `values` themselves where there is one.
    """
    if count() == 1:
        return values
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
