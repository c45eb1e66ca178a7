. "$NETC_ROOT/tests/trainer/setup"
sed -i -e 's|csv("rows.csv") -> x: \[3\], kind: class(2)|cifar("cifar-10") -> x: [3, 32, 32], kind: class(10)|' -e 's|split.*||' -e 's|z = standardize(x)|z = flatten(x)|' -e 's|Net(z: \[3\]) -> \[2\]|Net(z: [3072]) -> [10]|' -e 's|dense(2)|dense(10)|' model.net; build
mkdir set
for f in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    head -c 6146 /dev/zero >set/$f.bin
done
./model train --quiet --data rows=set && ls runs/model
printf '\12' | dd of=set/data_batch_2.bin bs=1 seek=3073 conv=notrunc status=none
./model train --out other --data rows=set
head -c 6000 /dev/zero >set/data_batch_4.bin
./model train --out other --data rows=set
rm set/data_batch_3.bin
./model train --out other --data rows=set
