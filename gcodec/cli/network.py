"""Ranks on one machine as if each were a node of a slow network.

The launcher runs in a network namespace of its own, whose loopback lets through so many bits per
second (`tbf`), and MPI is told to use TCP for everything. No rights are needed where the system
lets users have namespaces, and everything is gone when the command ends. The loopback is one queue
that all ranks share, so it gets the rate of one node times the ranks: the same as a switch for
exchanges in which all ranks send as much, too kind to those through one rank. `star` is faithful
there, too: a namespace for each rank, and a switch with a shaped line to each. Latency is what the
CPU needs for a packet.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

UNITS: Final = {"kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
PROBE_SECONDS: Final = 10
OVER_TCP: Final = {
    "MPIR_CVAR_NOLOCAL": "1",  # MPICH: no shared memory
    "MPIR_CVAR_CH4_NETMOD": "ofi",
    "FI_PROVIDER": "tcp",
    "FI_TCP_IFACE": "lo",
    "OMPI_MCA_pml": "ob1",  # Open MPI
    "OMPI_MCA_btl": "self,tcp",
    "OMPI_MCA_btl_tcp_if_include": "lo",
}
"""What makes MPI libraries send everything through the loopback."""


def bits_per_second(text: str) -> int:
    """A rate such as `100mbit` or `1.5gbit`.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)", text.lower())
    rate = round(float(match[1]) * UNITS[match[2]]) if match else 0
    if rate < 1000:
        raise ValueError(f"{text!r} is no rate: write it as 500kbit, 100mbit or 1gbit")
    return rate


def shaped(command: Sequence[str], rate: int, ranks: int) -> list[str]:
    """A command in a namespace where each of so many ranks has `rate` bits per second.

    Its environment must have `OVER_TCP`.
    """
    script = f'ip link set lo mtu 1500 up && {_limit("tc", "lo", rate * ranks)} && exec "$@"'
    return ["unshare", "-Urn", "sh", "-c", script, "sh", *command]


def star(mpirun: str, command: Sequence[str], rate: int, ranks: int) -> list[str]:
    """A command on so many ranks, each in a namespace, with `rate` bits per second each way.

    For launchers that say PMI_RANK (MPICH, Intel MPI). Its environment must have `OVER_TCP`, but
    with the interface eth0 instead of lo.
    """
    lines = ["set -e", "mount -t tmpfs none /run", "mkdir /run/netns"]
    lines += ["ip link add sw type bridge", "ip link set sw up"]
    for rank in range(ranks):
        lines += [
            f"ip netns add h{rank}",
            f"ip link add p{rank} type veth peer name eth0 netns h{rank}",
            f"ip -n h{rank} addr add 198.18.{rank // 200}.{rank % 200 + 1}/15 dev eth0",
            f"ip -n h{rank} link set lo up",
            f"ip -n h{rank} link set eth0 up",
            f"ip link set p{rank} master sw up",
            _limit(f"tc -n h{rank}", "eth0", rate),
            _limit("tc", f"p{rank}", rate),
        ]
    lines.append('exec "$@"')
    inside = ["sh", "-c", 'exec nsenter --net=/run/netns/h$PMI_RANK "$@"', "sh"]
    begin = ["unshare", "-Urnm", "sh", "-c", "\n".join(lines), "sh"]
    return [*begin, mpirun, "-n", str(ranks), *inside, *command]


def _limit(tc: str, device: str, rate: int) -> str:
    burst = max(5120, rate // 8192)  # the least that still lets the rate through
    return f"{tc} qdisc add dev {device} root tbf rate {rate}bit burst {burst} latency 100ms"


def why_not() -> str:
    """Why nothing can be shaped here; empty if it can."""
    missing = [tool for tool in ("unshare", "ip", "tc") if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)}: util-linux and iproute2 have them"
    try:
        tried = subprocess.run(
            shaped(["true"], 10**8, 1), capture_output=True, text=True, timeout=PROBE_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"a trial took more than {PROBE_SECONDS} seconds"
    return "" if tried.returncode == 0 else (tried.stderr.strip() or "a trial failed")
