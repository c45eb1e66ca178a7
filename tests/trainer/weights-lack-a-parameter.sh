. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && cp runs/model/last.safetensors old.safetensors
build 'dense(units) |> tanh' 'dense(units) |> tanh |> dense(units) |> tanh'
./model eval --weights old.safetensors
