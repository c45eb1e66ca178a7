. "$NETC_ROOT/tests/trainer/setup"; build
./model init --output w.safetensors --epochs 3
