. "$NETC_ROOT/tests/trainer/setup"; build
./model train --units 16
