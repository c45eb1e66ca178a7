$NETC --help
$NETC fmt --help
