. "$NETC_ROOT/tests/trainer/setup"; build
echo kept >taken
./model train --quiet --out taken; s=$?; cat taken; exit $s
