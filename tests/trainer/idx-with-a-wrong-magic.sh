. "$NETC_ROOT/tests/trainer/setup"
sed -i -e 's|csv("rows.csv") -> x: \[3\]|idx("pictures") -> x: [1, 2, 2]|' -e 's|z = standardize(x)|z = flatten(x)|' -e 's|Net(z: \[3\])|Net(z: [4])|' model.net; build
mkdir pictures
printf '\1\0\10\3\0\0\0\2\0\0\0\2\0\0\0\2abcdefgh' >pictures/train-images-idx3-ubyte
printf '\0\0\10\1\0\0\0\2\0\1' >pictures/train-labels-idx1-ubyte
./model train --data rows=pictures
