. "$NETC_ROOT/tests/trainer/setup"
# The variance of one value: a step of one sample is refused before the first step, whether all steps have one or an
# epoch's last; where a map has several values a sample, or the stage only settles, one sample is enough.
cat >model.net <<'END'
data rows { read csv("rows.csv") -> x: [3], kind: class(2) }
network Net(x: [3]) -> [2] { x |> dense(4) |> batch_norm |> dense(2) }
train model {
  data     rows
  minimize cross_entropy(softmax(Net(x)), kind) using sgd(0.1)
  batch    5
  epochs   1
}
END
"$NETC" build model.net -o model || exit
head -11 rows.csv >11.csv && mv 11.csv rows.csv
for batch in 1 2 3 4 5; do
    ./model train --quiet --no-report --overwrite --out run --batch $batch && echo "batches of $batch: trained"
done
sed 's/dense(4) |> batch_norm/reshape([1, 1, 3]) |> batch_norm |> flatten/' model.net >maps.net
"$NETC" build maps.net -o maps || exit
./maps train --quiet --no-report --out maps.run --batch 1 && echo "three values a sample: trained"
