. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && ./model predict --weights runs/model/last.safetensors nowhere.npy
