. "$NETC_ROOT/tests/trainer/setup"; build 'rows.csv' 'fashion-mnist.csv'
./model train
