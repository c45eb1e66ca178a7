. "$NETC_ROOT/tests/trainer/setup"
build '  epochs   3' '  epochs   3; report train.accuracy >= 0; report one = train.loss / train.loss every 2 epochs; save W = Net.dense_1.W, scores; save b = Net.dense_1.b every 4 steps'
./model train --quiet; s=$?; ls runs/model
head -c 120 runs/model/scores.npy | tr -d '\223\001\000' | head -1; exit $s
