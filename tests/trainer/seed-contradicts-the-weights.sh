. "$NETC_ROOT/tests/trainer/setup"; build
./model train --seed 1 --quiet && ./model eval --weights runs/model/last.safetensors --split test --seed 2
