"""examples/regularization.net on Fashion-MNIST, two epochs of its twenty, with all its means on: 0.834 to 0.836 (seeds 1 to 3)."""
from _training import reaches

reaches("regularization", 0.825, (1,), "--epochs", 2)
