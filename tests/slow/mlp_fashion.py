"""examples/mlp_fashion.net, the whole training, on Fashion-MNIST."""
from _training import reaches

reaches("mlp_fashion", 0.885, (1,))
