printf 'a = 1 < 2 < 3\nfn f(x) {\n  keep = "é" + 1\n}\nb = g(1,\n  2\nc = 3\n' > a.net
$NETC check --error-format=json a.net
