. "$NETC_ROOT/tests/trainer/setup"
# A rotation by no degrees with no zoom reads every pixel where it is: the weights are those of a run without it.
cat >model.net <<'END'
data rows {
  read  csv("rows.csv") -> x: [3], kind: class(2)
  image = reshape(x / 16, [1, 1, 3])
}
network Net(image: [1, 1, 3]) -> [2] { image |> flatten |> dense(2) }
train model {
  data     rows
  augment  image <- affine(image, degrees = 0, zoom = 0)
  minimize cross_entropy(softmax(Net(image)), kind) using momentum(0.1)
  batch    4
  epochs   3
}
END
"$NETC" build model.net -o turned || exit
grep -v augment model.net >plain.net
"$NETC" build plain.net -o plain || exit
sed 's/degrees = 0/degrees = 90/' model.net >far.net
"$NETC" build far.net -o far || exit
for m in turned plain far; do ./$m train --quiet --out $m.run || exit; done
weights() { tail -c 32 $1.run/last.safetensors | od -An -tf4; }
[ "$(weights turned)" = "$(weights plain)" ] && echo "turned by nothing: the same weights"
[ "$(weights far)" = "$(weights plain)" ] || echo "turned by up to 90 degrees: others"
