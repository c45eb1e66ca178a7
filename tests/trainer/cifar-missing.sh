. "$NETC_ROOT/tests/trainer/setup"
sed -i -e 's|csv("rows.csv") -> x: \[3\], kind: class(2)|cifar("cifar-10") -> x: [3, 32, 32], kind: class(10)|' -e 's|split.*||' -e 's|z = standardize(x)|z = flatten(x)|' -e 's|Net(z: \[3\]) -> \[2\]|Net(z: [3072]) -> [10]|' -e 's|dense(2)|dense(10)|' model.net; build
./model train
mkdir package; : >package/data_batch_1.png
./model train --data rows=package
