$NETC check nothing.net; echo $?
$NETC fmt nothing.net; echo $?
mkdir folder.net; $NETC check folder.net
