printf 'a = (\n' > a.net
$NETC check --color=always a.net | cat -v
NO_COLOR=1 $NETC check a.net
