# The parser and the formatter under libFuzzer with both sanitizers, for half a minute.
set -eu
command -v clang-19 >/dev/null || { echo "clang-19 is not here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$NETC_ROOT"
clang-19 -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    -I. -I"$NETC_BUILD/generated" compiler/base/*.c compiler/diag/*.c compiler/ast/*.c \
    "$NETC_BUILD"/generated/net_parser.c "$NETC_BUILD"/generated/net_scanner.c tests/fuzz/fuzz_parse.c \
    -lutf8proc -o "$work/fuzz_parse"
mkdir "$work/corpus"
cp stdlib/*.net examples/*.net tests/syntax/*.net tests/format/*.net tests/errors/*.net "$work/corpus"
cd "$work"
./fuzz_parse -max_total_time=30 -max_len=4096 -timeout=10 -seed=1 corpus >log 2>&1 || { tail -50 log; exit 1; }
