. "$NETC_ROOT/tests/trainer/setup"; build
: >rows.csv
./model train
