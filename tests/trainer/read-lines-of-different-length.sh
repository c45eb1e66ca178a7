. "$NETC_ROOT/tests/trainer/setup"; build '  read  csv("rows.csv") -> x: \[3\], kind: class(2)' '  read csv("rows.csv") -> x: [3], old: []; read csv("kind.csv") -> kind: class(2)'
cut -d, -f4 rows.csv | head -12 >kind.csv
./model train
