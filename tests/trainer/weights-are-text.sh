. "$NETC_ROOT/tests/trainer/setup"; build
echo "these are no weights, but a line of text" >text.safetensors
./model eval --weights text.safetensors
