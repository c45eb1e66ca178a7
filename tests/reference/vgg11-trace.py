"""VGG-11 at full size against PyTorch: a training step in f64 and f32, and what it predicts."""
import _networks

_networks.compare("vgg11", _networks.vgg, "VGG", "vgg", 224, ["--kept", "1"])
