#!/usr/bin/env python3
"""The rig itself, Linux beside Linux: that the peer, the relay, our client and tshark's
check work, so that a failure of the interop tests is a failure of the node."""
import os

import rig

SERVER = "10.7.0.101"


class Pair:
    """Stands in for the cluster where both ends are Linux."""

    def __init__(self, relay):
        self.relay = relay

    def health_check(self):
        if self.relay.process.poll() is not None:
            raise rig.LaunchError("the relay ended")


def body(tap):
    ports = [rig.udp_port_pair()]
    ports.append(ports[0] + 2)
    logs = os.path.join(rig.LOGS, "linux-pair")
    os.makedirs(logs, exist_ok=True)
    relay = rig.Relay([], ports, logs, os.path.join(rig.LOGS, "linux-pair.pcap"))
    relay.start()
    server = rig.LinuxPeer(ports[0], SERVER, logs=logs)
    try:
        server.start()
        with rig.LinuxPeer(ports[1], logs=logs) as peer:
            server.ready()
            server.run(f"rping -s -P -S {rig.RPING_BYTES_MAX} -a 0.0.0.0 > /dev/null 2>&1 &\n"
                       "mkfifo /tmp/up; server > /tmp/up & head -n 1 /tmp/up")
            bench = rig.Rig(Pair(relay), peer)
            peer.run(f"arping -f -w {rig.ARP_SECONDS} -I eth0 {SERVER}")
            bench.rping(tap, "rping -V, 100 rounds", SERVER, 100)
            bench.rping(tap, "rping -V, 65535 bytes", SERVER, 20, rig.RPING_BYTES_MAX)
            for depth in (1, 4):
                bench.check(tap, f"verbs client: 100 operations, {depth} outstanding",
                            f"client {SERVER} ops --ops 100 --seed {depth} --depth {depth}")
            bench.check(tap, "verbs client: refused accesses", f"client {SERVER} negative")
            bench.check(tap, "verbs client: 20 connections",
                        f"client {SERVER} connections --ops 20")
            status, _ = peer.run("exit 3")
            tap.result(status == 3, "a command's exit status comes back")
            status, output = peer.run(f"client {SERVER} ops --ops 1 --port 9")
            tap.result(status == 1 and b"failed: rdma_connect" in output,
                       "a port where nobody listens is an error", output.decode())
            rig.frames_check(tap, relay.stats(), "linux-pair", "")
    finally:
        server.stop()
        relay.stop()
    rig.capture_check(tap, "linux-pair")


if __name__ == "__main__":
    rig.main(body)
