$NETC explain E0115; echo $?
$NETC explain E9999; echo $?
$NETC explain lr
