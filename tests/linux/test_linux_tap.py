#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux on virtio-net, filters and net-tap, in a network namespace with dnsmasq: the same as test_linux_net.py
does on net-user. Not registered, for it takes minutes on a KVM that interprets; by hand, as root:

    meson devenv -C build python3 ../tests/linux/test_linux_tap.py
"""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "machine"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import check, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from test_linux import kernel  # noqa: E402
from test_linux_net import network_works  # noqa: E402
from test_net_stack import PATH, captured, namespace, run  # noqa: E402

ADDRESS = "10.0.2.2"


def test_tap_with_all_offloads_below_filters(directory):
    tftp = os.path.join(directory, "tftp")
    os.makedirs(tftp)
    os.chmod(directory, 0o755)
    check(run("ip tuntap add tap0 mode tap vnet_hdr") and run(f"ip addr add {ADDRESS}/24 dev tap0") and
          run("ip link set tap0 up"), "cannot make tap0")
    server = subprocess.Popen(["dnsmasq", "-k", "-C", "/dev/null", "-p", "0", "-u", "root", "-i", "tap0",
                               "-F", "10.0.2.15,10.0.2.15", "-l", os.path.join(directory, "leases"), "--no-ping",
                               "--enable-tftp", "--tftp-root", tftp], env={**os.environ, "PATH": PATH})
    backend = f"""
  tap = {{ plugin = "net-tap"; interface = "tap0"; }};
  dump = {{ plugin = "filter-pcap"; below = "tap"; path = "{directory}/net.pcapng"; }};
  far = {{ plugin = "filter-netem"; below = "dump"; delay_us = 500; }};
  wan = {{ plugin = "filter-macguard"; below = "far"; macs = [ "02:00:00:00:00:2a" ]; addresses = [ "10.0.2.15" ]; }};
"""
    try:
        network_works(directory, "modern", "", backend, ADDRESS)
    finally:
        server.kill()
        server.wait()
    frames = captured(os.path.join(directory, "net.pcapng"))
    print(f"# {len(frames)} frames, the longest has {max(map(len, frames))} bytes")
    check(max(map(len, frames)) > 1514, "no frame was left to the kernel to cut")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    if not shutil.which("dnsmasq", path=PATH) or not namespace():
        skip_all("no dnsmasq, or no network namespace")
    run_tests([test_tap_with_all_offloads_below_filters])
