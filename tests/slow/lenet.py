"""examples/lenet.net, the whole training, on Fashion-MNIST."""
from _training import reaches

reaches("lenet", 0.900, (1, 2, 3))
