# SPDX-License-Identifier: Apache-2.0
# What the scripts in tools/ share. Sourced by bash with the current directory anywhere.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a Debian machine needs to build and run, to demonstrate, and to test.
packages_build=(gcc libc6-dev meson ninja-build pkg-config libglib2.0-dev libconfig-dev liburing-dev
    libjson-glib-dev)
packages_demo=(seabios grub-pc-bin grub-common e2fsprogs)
packages_test=(libcmocka-dev python3 clang llvm clang-format clang-tidy libclang-rt-14-dev g++
    binutils busybox-static cpio e2fsprogs qemu-system-x86 acpica-tools codespell expect socat
    man-db ca-certificates)

say() {
    printf '== %s\n' "$*" >&2
}

# need_packages PACKAGE...: installs what is missing, as root or with sudo.
need_packages() {
    local missing=() package root=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "error: run as root, or install sudo: needed are ${missing[*]}" >&2
            exit 1
        }
        root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# build_tree DIRECTORY [MESON-OPTION...]: configures once, then builds.
build_tree() {
    local tree=$1
    shift
    [ -f "$tree/build.ninja" ] || meson setup "$tree" "$top" "$@" >"$tree.log" 2>&1 || {
        cat "$tree.log" >&2
        exit 1
    }
    rm -f "$tree.log"
    ninja -C "$tree" >"$tree/build.log" || {
        grep -v '^\[' "$tree/build.log" >&2
        exit 1
    }
}
