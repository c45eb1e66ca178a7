. "$NETC_ROOT/tests/trainer/setup"
# a measurement that never improves: the rate falls tenfold after every two epochs; the report shows it through theta, which moves by lr each step
cat >model.net <<'END'
data rows { read csv("rows.csv") -> x: [3], kind: class(2) }
layer point(x: [n]) -> [] { param W: [1] = 0; W[0] + 0 * sum(x) }
network Net(x: [3]) -> [] { point(x) }
train model {
  data     rows
  y        = Net(x)
  minimize -y using sgd(plateau(1, train.seven, patience = 2))
  measure  seven = 7
  batch    all
  epochs   6
  save     W = Net.point_1.W every epoch
}
END
"$NETC" build model.net -o model || exit
./model train --quiet || exit
for i in 1 2 3 4 5 6; do tail -c 4 runs/model/W-00000$i.npy | od -An -tf4; done
