. "$NETC_ROOT/tests/trainer/setup"; build
./model train --epochs 0
