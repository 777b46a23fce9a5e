"""The training: batches, loop, optimizers, checkpoints, several workers."""
