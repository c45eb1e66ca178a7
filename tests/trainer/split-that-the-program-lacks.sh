. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && ./model eval --weights runs/model/last.safetensors --split validation
