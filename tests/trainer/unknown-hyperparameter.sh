. "$NETC_ROOT/tests/trainer/setup"; build
./model train --l 0.2
