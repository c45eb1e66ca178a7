$NETC build --bacht 3 x.net; echo $?
$NETC check -z x.net; echo $?
$NETC check -o y x.net
