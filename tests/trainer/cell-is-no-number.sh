. "$NETC_ROOT/tests/trainer/setup"; build
sed -i '5s/^[^,]*/twelve/' rows.csv
./model train
