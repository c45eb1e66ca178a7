# shellcheck shell=bash
# What scripts/demo and scripts/test share: which packages netc needs, how they are installed, how the
# tree is built. Sourced by bash; the caller has `set -euo pipefail` and stands in the top folder.
#
# Packages come from the distribution's own archive, nothing else is downloaded. Before anything is
# installed its names and sizes are printed; what is there already is left alone.

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 3; }

# as root directly, else by sudo
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "\`$*\` needs root; run this script as root or install sudo"
    fi
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
is_known() { [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) == *'Candidate: '[!\(]* ]]; }

# LLVM 19 is the reference; a neighbour will do where a release lacks it
llvm_package() {
    local v
    for v in 19 20 18 17; do
        if is_installed "llvm-$v-dev"; then echo "llvm-$v-dev"; return; fi
    done
    for v in 19 20 18 17; do
        if is_known "llvm-$v-dev"; then echo "llvm-$v-dev"; return; fi
    done
    echo llvm-19-dev
}

# compiler, generators and libraries that netc and its trainers are built from
build_packages() {
    echo gcc libc6-dev cmake ninja-build flex bison "$(llvm_package)" libopenblas-dev liblapacke-dev \
         zlib1g-dev libpng-dev libjpeg-dev libjansson-dev libzip-dev libutf8proc-dev
}

refresh_lists() {
    say "reading the package lists (apt-get update)"
    as_root apt-get update -q=2 || fail "apt-get update failed; is there a network?"
}

# install_missing PACKAGE...: says what and how much, then installs what is not there yet
install_missing() {
    local missing=() p plan
    for p in "$@"; do
        is_installed "$p" || missing+=("$p")
    done
    if [ ${#missing[@]} = 0 ]; then
        say "packages: all $# are installed"
        return
    fi
    for p in "${missing[@]}"; do
        is_known "$p" || fail "this release has no package \`$p\`; on Ubuntu enable \`universe\` (README.md lists what is needed)"
    done
    plan=$(LC_ALL=C as_root apt-get install --assume-no --no-install-recommends "${missing[@]}" 2>&1 || true)
    say "will install from apt: ${missing[*]}"
    grep -E '^(Need to get|After this operation|[0-9]+ upgraded| *Download size| *Space needed)' <<<"$plan" | sed 's/^ */  /' || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q=2 --no-install-recommends "${missing[@]}" \
        >build/apt.log 2>&1 || { tail -20 build/apt.log >&2; fail "apt-get install failed; the whole output is in build/apt.log"; }
    say "installed"
}

# setup PACKAGE...: packages, then the compiler in build/netc. References that a release may lack stand in
# $optional; what needs them is skipped.
optional=()
setup() {
    command -v apt-get >/dev/null || fail "this script installs with apt-get (Debian 12, Debian 13, Ubuntu 24.04)"
    mkdir -p build
    local p complete=yes found=()
    for p in $(build_packages) "$@" "${optional[@]}"; do
        is_installed "$p" || complete=no
    done
    [ $complete = yes ] || refresh_lists
    for p in "${optional[@]}"; do
        if is_installed "$p" || is_known "$p"; then
            found+=("$p")
        else
            say "this release has no package $p: what compares with it is skipped"
        fi
    done
    # shellcheck disable=SC2046
    install_missing $(build_packages) "$@" "${found[@]}"
    say "building build/netc"
    # NETC_WERROR: a newer compiler may warn where ours did not, no reason to stop here
    cmake -S . -B build -G Ninja -DNETC_WERROR=OFF >build/cmake.log 2>&1 || { tail -20 build/cmake.log >&2; fail "cmake failed"; }
    cmake --build build >build/build.log 2>&1 || { tail -40 build/build.log >&2; fail "the build failed; see build/build.log"; }
    say "built $(build/netc --version | head -1)"
}
