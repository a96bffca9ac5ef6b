"""The two rigs of the benchmarks: `loop`, one machine with two cards on a hub under icount,
where the TSC counts instructions; and a cluster, driven by commands on node 0."""
import os
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from launcher.cluster import Cluster  # noqa: E402
from launcher.options import Options, disk_parse  # noqa: E402, F401
from launcher.run_channel import RunChannel  # noqa: E402

COLUMNS = ("bytes", "n", "min_us", "max_us", "median_us", "mean_us", "stdev_us", "p99_us",
           "p999_us")


class BenchError(Exception):
    """A benchmark did not give what it must."""


def bench_commands(requests):
    """A shell command that makes each request in turn and prints its table."""
    return "; ".join(f"echo '@ {request}'; echo {request} > /dev/bench && cat /dev/bench "
                     "|| exit 1" for request in requests)


def tables(text):
    """What bench_commands printed: a list of (request, dict of figures)."""
    found = []
    for part in text.split("@ ")[1:]:
        lines = part.splitlines()
        row = {}
        for line in lines[1:]:
            words = line.split()
            if line.startswith("# instructions"):
                row[words[2]] = {words[i]: int(words[i + 1]) for i in range(3, len(words), 2)}
            elif line.startswith("# op"):
                row.update({words[i]: int(words[i + 1]) for i in range(3, len(words), 2)})
            elif words and words[0].isdigit():
                row.update(zip(COLUMNS, (float(word) for word in words)))
        if "median_us" not in row:
            raise BenchError(f"no table for {lines[0]!r}: {part!r}")
        found.append((lines[0], row))
    return found


def end_gently(cluster):
    """Lets QEMU end by itself, so that its plugin writes what it has."""
    for machine in cluster.machines:
        machine.process.terminate()
        machine.process.wait()


def run(command, **options):
    """Boots, runs COMMAND on node 0, returns (its output, the cluster, stopped)."""
    cluster = Cluster(Options(command=command, **options))
    channel = RunChannel(cluster.machines[0].run_channel_path(), command)
    with tempfile.TemporaryFile() as out:
        try:
            with cluster:
                status = channel.serve(cluster, out.fileno(), 2)
                drops = cluster.relay.stats()
                if "plugin" in options:
                    end_gently(cluster)
        finally:
            channel.close()
        out.seek(0)
        text = out.read().decode(errors="replace")
    if status != 0:
        raise BenchError(f"the command ended with {status}:\n{text}")
    return text, drops


def loop_run(requests, timeout=300):
    """The requests in the loop rig; node 1 is its second card."""
    text, _ = run(bench_commands(requests), nodes=1, loop=True, timeout=timeout,
                  icount="shift=0,sleep=off", cpu="max,-rdrand,-rdseed,-erms,-fsrm",
                  append=["bench.count=1"], logs=os.path.join(ROOT, "build/bench/loop"))
    return tables(text)
