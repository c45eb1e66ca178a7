. "$NETC_ROOT/tests/trainer/setup"; build
./model trian
