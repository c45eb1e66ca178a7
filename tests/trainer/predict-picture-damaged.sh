. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet
printf '\211PNG\r\n\032\nnot a picture' >x.png
./model predict --weights runs/model/last.safetensors x.png
