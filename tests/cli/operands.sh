$NETC check; echo $?
$NETC check a.net b.net; echo $?
$NETC explain; echo $?
$NETC --from=tg
