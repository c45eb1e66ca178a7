. "$NETC_ROOT/tests/trainer/setup"; build
./model train --epoch 3
