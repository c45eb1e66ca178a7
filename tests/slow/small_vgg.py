"""examples/small_vgg.net on the first 2,000 pictures of each of CIFAR-10's five files, three of its ten epochs: 0.605 and 0.607 of
the first 2,000 test pictures (seeds 1 and 2)."""
from _training import first_of_cifar, reaches

reaches("small_vgg", 0.56, (1,), "--epochs", 3, data=("cifar", lambda folder: first_of_cifar(folder, 2000, 2000)))
