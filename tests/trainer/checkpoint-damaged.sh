. "$NETC_ROOT/tests/trainer/setup"; build
./model train --quiet
head -c 200 runs/model/checkpoint >cut; mv cut runs/model/checkpoint
./model train --resume --epochs 6
