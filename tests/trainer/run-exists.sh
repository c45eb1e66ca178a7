. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet && ./model train --quiet
