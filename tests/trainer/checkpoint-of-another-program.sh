. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet
build 'momentum(lr, 0.9)' 'adam(lr)'
./model train --resume
