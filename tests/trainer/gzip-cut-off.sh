. "$NETC_ROOT/tests/trainer/setup"; build
rows | gzip -n | head -c 60 >rows.csv.gz; rm rows.csv
./model train
