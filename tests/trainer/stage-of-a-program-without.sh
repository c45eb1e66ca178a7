. "$NETC_ROOT/tests/trainer/setup"; build
./model bench --stage first
