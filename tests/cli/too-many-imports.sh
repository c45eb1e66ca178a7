# each file imports the next, a thousand and one of them
i=0
while [ $i -le 1001 ]; do echo "import \"$((i + 1)).net\"" >$i.net; i=$((i + 1)); done
"$NETC" check 0.net
