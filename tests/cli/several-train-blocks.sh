cat >two.net <<'END'
data rows { read csv("rows.csv") -> x: [4], c: class(3) }
network Net(x: [4]) -> [3] { x |> dense(3) }
train a { data rows; s = Net(x); minimize cross_entropy(softmax(s), c) using sgd(0.1); epochs 1 }
train b { data rows; s = Net(x); minimize cross_entropy(softmax(s), c) using sgd(0.1); epochs 1 }
END
"$NETC" build two.net
echo "exit $?"
"$NETC" build two.net --train c
