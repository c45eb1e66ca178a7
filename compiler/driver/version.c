// What `netc --version` says.
const char *netc_version(void);

const char *netc_version(void) {
    return "netc " NETC_VERSION " (LLVM " NETC_LLVM_VERSION ")";
}
