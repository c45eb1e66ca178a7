. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && cp runs/model/last.safetensors old.safetensors
build 'units = 8' 'units = 12'
./model eval --weights old.safetensors
