. "$NETC_ROOT/tests/trainer/setup"; build
./model init --output nowhere/w.safetensors
