# a tile is products and sums on a target without fused multiply-adds, not a call of fma for each lane
for cpu in x86-64 x86-64-v3; do
  "$NETC" build --emit=llvm --target-cpu $cpu -o module "$NETC_ROOT/examples/mlp_fashion.net"
  sed -n '/^define .*@tile\./,/^}/p' module >tiles
  grep -q 'fadd\|@llvm\.fma' tiles && echo "$cpu: there are tiles"
  grep -q '@llvm\.fma' tiles && echo "$cpu: fused" || echo "$cpu: not fused"
done
