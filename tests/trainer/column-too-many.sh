. "$NETC_ROOT/tests/trainer/setup"; build
sed -i 's/$/,1/' rows.csv
./model train
