. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && head -c 300 runs/model/last.safetensors >cut.safetensors
./model eval --weights cut.safetensors
