"""ResNet-18 at full size against PyTorch: a training step in f64 and f32, and what it predicts."""
import _networks

_networks.compare("resnet18", _networks.resnet, "ResNet", "resnet", 224)
