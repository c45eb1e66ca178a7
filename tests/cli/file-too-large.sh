head -c 68157440 /dev/zero | tr '\0' ' ' >big.net
"$NETC" check big.net
