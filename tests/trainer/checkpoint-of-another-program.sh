. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet
build 'momentum(lr, 0.9)' 'adam(lr)'
./model train --resume 2>messages
status=$?
sed -E 's/[0-9a-f]{16}/HASH/g' messages # the hashes differ with everything that a program is made of
exit $status
