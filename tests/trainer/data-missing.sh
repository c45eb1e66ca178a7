. "$NETC_ROOT/tests/trainer/setup"; build
rm rows.csv
./model train; s=$?; ls; exit $s
