. "$NETC_ROOT/tests/trainer/setup"; build
./model train --lr 1e39 --quiet; s=$?; ls runs/model; exit $s
