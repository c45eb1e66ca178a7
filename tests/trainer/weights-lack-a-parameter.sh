. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && cp runs/model/last.safetensors old.safetensors
build '> dense(2)' '> dense(units) |> tanh |> dense(2)'
./model eval --weights old.safetensors
