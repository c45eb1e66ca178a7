. "$NETC_ROOT/tests/trainer/setup"; build
./model eval --weights nowhere.safetensors
