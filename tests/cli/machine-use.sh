# the constants of --machine choose plans and predict times
cat >y.tg <<'T'
graph step(x: f32[N, 500], b: f32[500]) where N <= 64 {
  %1[n<N, k<500] = x[n, k] + b[k] : f32[N, 500]
  return y = %1
}
T
loops() { $NETC --from=tg --emit=li --target-cpu x86-64-v3 "$@" y.tg | grep -c parallel; }
loops
printf 'machine = 1\nparallel = 1000\n' >few && loops --machine few
printf 'machine = 1\nparallel = 1e9\n' >many && loops --machine many
predicted() { $NETC inspect --kernels --json --target-cpu x86-64-v3 --batch 64 "$@" "$NETC_ROOT/examples/mlp_fashion.net" | tr ',' '\n' | grep predicted_ms | head -1; }
printf 'machine = 1\nclock = 7e9\nnear = 1e13\nfar = 1e13\n' >quick
printf 'machine = 1\nclock = 3.5e9\nnear = 1e13\nfar = 1e13\n' >slow
python3 - "$(predicted --machine quick)" "$(predicted --machine slow)" <<'P'
import sys
quick, slow = (float(t.split(":")[1]) for t in sys.argv[1:])
print("twice the clock, half the time:", abs(slow / quick - 2) < 1e-6)
P
