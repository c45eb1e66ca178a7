. "$NETC_ROOT/tests/trainer/setup"; build '  epochs   3' '  epochs   4; report test.accuracy every 2 epochs; save W = Net.dense_2.W every epoch; save scores'
./model train --quiet && ls runs/model
