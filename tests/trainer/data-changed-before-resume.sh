. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet
sed -i '3s/^[^,]*/99/' rows.csv
./model train --resume --epochs 6 --quiet
