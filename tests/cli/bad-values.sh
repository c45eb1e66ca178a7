$NETC build --conv=f6 x.net; echo $?
$NETC build --dtype=f16 x.net; echo $?
$NETC build --batch 0 x.net; echo $?
$NETC build --batch=ten x.net; echo $?
$NETC build -O7 x.net; echo $?
$NETC build -D lr x.net; echo $?
$NETC build --emit=pdf x.net; echo $?
$NETC build x.net -o
