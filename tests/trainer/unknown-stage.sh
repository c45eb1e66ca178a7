. "$NETC_ROOT/tests/trainer/setup"
build '  minimize cross_entropy(softmax(scores), kind) using momentum(lr, 0.9)' '  stage first { minimize cross_entropy(softmax(scores), kind) using momentum(lr, 0.9) }; stage second { minimize mean(scores^2) using sgd(lr) }'
./model bench --stage thrid
