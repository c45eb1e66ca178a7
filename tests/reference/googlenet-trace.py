"""GoogLeNet with both auxiliary classifiers (at 0.3) at full size against PyTorch: a training step in f64 and f32, and what it predicts."""
import _networks

_networks.compare("googlenet", _networks.googlenet, "GoogLeNet", "googlenet", 224, ["--kept", "1", "--head_kept", "1"])
