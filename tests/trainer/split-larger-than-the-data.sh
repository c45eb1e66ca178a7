. "$NETC_ROOT/tests/trainer/setup"; build
head -3 rows.csv >few; mv few rows.csv
./model train
