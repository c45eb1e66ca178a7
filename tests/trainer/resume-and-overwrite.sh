. "$NETC_ROOT/tests/trainer/setup"; build
./model train --resume --overwrite
