$NETC biuld x.net; echo $?
$NETC x.net; echo $?
$NETC frobnicate
