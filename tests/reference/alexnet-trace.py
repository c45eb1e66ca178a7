"""AlexNet at full size against PyTorch: a training step in f64 and f32, and what it predicts."""
import _networks

_networks.compare("alexnet", _networks.alexnet, "AlexNet", "alexnet", 227, ["--kept", "1"])
