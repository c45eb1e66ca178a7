# what --machine says about files that netc tune would not write
printf 'hyper lr = 0.1\n' >x.net
try() {
  printf "$1" >m
  $NETC inspect --machine m x.net 2>&1
  echo "exit $?"
}
try ''
try 'clock = 3e9\n'
try '# a file\nmachine = 2\nclock = 3e9\n'
try 'machine = 1\nclok = 3e9\n'
try 'machine = 1\nclock = fast\n'
try 'machine = 1\nclock = 1\ncache_2 = 100000.5\nnear = nan\nfar = 1e999\n'
try 'machine = 1 # version\nnear 5e10\n= 7\nfar =\nrandom = 3 4\n'
try 'machine = 1\nnear = 5e10\nnear = 6e10\n'
printf 'machine = 1\nclock = 3e9\n\000\n' >m
$NETC build --machine m x.net 2>&1; echo "exit $?"
$NETC build --machine nowhere x.net 2>&1; echo "exit $?"
$NETC tune x.net 2>&1; echo "exit $?"
$NETC tune --batch 3 2>&1; echo "exit $?"
$NETC check --machine m x.net 2>&1; echo "exit $?"
