printf 'train t { stop if x |> f("a"); keep = 3 }\n' > a.net
$NETC build --emit=tokens a.net
$NETC build --emit=tokens a.net -o out; wc -l < out
