# SPDX-License-Identifier: Apache-2.0
# What the scripts in tools/ share. Sourced by bash with the current directory anywhere.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Debian keeps mke2fs, debugfs and dmidecode where only root looks.
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8

# What a Debian machine needs to build and run, to demonstrate, to test, and to check the style.
packages_build=(gcc libc6-dev meson ninja-build pkg-config libglib2.0-dev libconfig-dev liburing-dev
    libjson-glib-dev libslirp-dev zlib1g-dev libzstd-dev libnbd-dev libiscsi-dev)
packages_demo=(seabios grub-pc-bin grub-common e2fsprogs)
# llvm: the symbols in a sanitizer's report. g++: the C++ headers, for clang's C++ as well.
# mtools, qemu-utils, acpica-tools, dmidecode: peers that read what we write.
packages_test=(git python3 libcmocka-dev clang libclang-rt-14-dev llvm g++ binutils busybox-static
    cpio mtools qemu-utils nbdkit openssl acpica-tools dmidecode xorriso tgt sg3-utils iproute2
    tcpdump dnsmasq-base passt)
packages_check=(git python3 binutils clang clang-format clang-tidy codespell)

say() {
    printf '== %s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need_packages PACKAGE...: installs what is missing, as root or with sudo.
need_packages() {
    local missing=() package root=() log
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "this is not Debian: hoping that the equivalents of these are here: $*"
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -ne 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "these packages are missing: ${missing[*]}; install them as root, or install sudo"
        root=(sudo)
    fi
    say "installing ${missing[*]}"
    log=$(mktemp)
    # apt-get update ends with 0 even when it could fetch nothing; then the installation fails.
    if ! {
        "${root[@]}" apt-get update -qq &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
                --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null; then
        grep -E '^(E|W|Err|sudo):? ?' "$log" | tail -n 4 >&2 || tail -n 15 "$log" >&2
        rm -f "$log"
        die "apt-get could not install ${missing[*]}: is there a network, and does" \
            "/etc/apt/sources.list name a mirror of Debian 12?"
    fi
    rm -f "$log"
}

# build_tree DIRECTORY [MESON-OPTION...]: configures if that was not yet done with these options, then
# builds. Without options, a tree stays as it was configured.
build_tree() {
    local tree=$1
    configure_tree "$@"
    ninja -C "$tree" >"$tree/build.log" || {
        grep -v '^\[' "$tree/build.log" >&2
        die "the build in $tree failed"
    }
}

# configure_tree DIRECTORY [MESON-OPTION...]
configure_tree() {
    local tree=$1 again=() log
    shift
    if [ -f "$tree/build.ninja" ]; then
        [ $# -ne 0 ] && [ "$*" != "$(cat "$tree/options" 2>/dev/null)" ] || return 0
        again=(--reconfigure)
    fi
    log=$(mktemp)
    meson setup "${again[@]}" "$tree" "$top" "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        rm -f "$log"
        die "meson could not configure $tree"
    }
    rm -f "$log"
    printf '%s\n' "$*" >"$tree/options"
}
