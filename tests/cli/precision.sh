# --precision: what it takes, its note, and that a trainer of bf16 products knows what it is
cat >m.net <<'N'
data rows { read csv("rows.csv") -> x: [64], t: [32] }
network Net(x: [64]) -> [32] { x |> dense(32) }
train small { data rows; y = Net(x); minimize mse(y, t) using sgd(0.1); batch 64; epochs 1 }
N
$NETC build --precision bf16 --dtype f64 m.net; echo "exit $?"
$NETC build --precision bf16 --conv=f2 m.net; echo "exit $?"
$NETC build --precision bf8 m.net; echo "exit $?"
$NETC build --precision bf16 --target-cpu x86-64 -o m m.net; echo "exit $?"
./m info | head -1 | grep -o 'products of bf16'
./m info --json | tr ',' '\n' | grep precision
./m check-gradients; echo "exit $?"
$NETC inspect --kernels --precision bf16 --target-cpu x86-64-v3 m.net 2>/dev/null | grep -q 'packed tile .* of bf16' && echo "packed tiles are of bf16"
$NETC inspect --kernels --precision bf16 --target-cpu znver4 m.net 2>&1 | grep -o 'of bf16 pairs\|N0802' | sort -u
$NETC inspect --kernels --precision bf16 -O0 m.net 2>/dev/null | grep -q 'of bf16' || echo "none without optimization"
