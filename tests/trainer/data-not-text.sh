. "$NETC_ROOT/tests/trainer/setup"; build
printf '1,2,3\0004,0\n' >rows.csv
./model train
