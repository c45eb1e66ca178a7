# netc away from its library
mkdir elsewhere && cp "$NETC" elsewhere/netc
echo 'hyper lr = 0.1' >model.net
elsewhere/netc check model.net
