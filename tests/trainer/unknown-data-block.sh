. "$NETC_ROOT/tests/trainer/setup"; build
./model train --data row=.
