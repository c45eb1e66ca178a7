printf 'a=1\n' > a.net
printf 'b = 2\n' > b.net
printf 'c = \n' > c.net
chmod 600 a.net
$NETC fmt -w a.net b.net c.net; echo $?
cat a.net b.net c.net
ls
stat -c %a a.net
