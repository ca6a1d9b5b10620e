"""Shaped networks: rates, what is refused, and namespaces that really are slow."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gcodec.cli import network

ECHO = """
import socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
def send():
    with socket.create_connection(server.getsockname()) as end:
        end.sendall(bytes(1_000_000))
threading.Thread(target=send).start()
end, got, started = server.accept()[0], 0, time.perf_counter()
while part := end.recv(65536):
    got += len(part)
print(got, time.perf_counter() - started)
"""


@pytest.fixture
def shaping():
    """Skips where the system has no namespaces for users."""
    if reason := network.why_not():
        pytest.skip(reason)


def output(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rates():
    rates = {"500kbit": 500_000, "100mbit": 10**8, "1.5Gbit": 1_500_000_000}
    assert {text: network.bits_per_second(text) for text in rates} == rates
    for text in ("fast", "100", "-1mbit", "0mbit", "1tbit", "1 mbit"):
        with pytest.raises(ValueError, match="is no rate: write it as"):
            network.bits_per_second(text)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(network.shutil, "which", lambda tool: None if tool == "tc" else tool)
    assert network.why_not() == "no tc: util-linux and iproute2 have them"


def test_a_system_that_forbids_it_says_why(monkeypatch):
    monkeypatch.setattr(network.shutil, "which", lambda tool: tool)
    refusing = ["sh", "-c", "echo Operation not permitted >&2; exit 1"]
    monkeypatch.setattr(network, "shaped", lambda command, rate, ranks: refusing)
    assert network.why_not() == "Operation not permitted"


def test_a_shaped_loopback_takes_the_time_that_the_rate_says(shaping):
    """2 ranks of 10 Mbit/s: a megabyte takes 0.4 s at least, however busy the machine is."""
    command = [sys.executable, "-c", ECHO]
    got, seconds = output(network.shaped(command, 10**7, 2)).split()
    assert int(got) == 1_000_000
    assert float(seconds) > 0.38


@pytest.mark.mpi
def test_a_star_has_a_line_for_each_rank(shaping):
    beside = Path(sys.executable).with_name("mpirun")
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if mpirun is None or "HYDRA" not in output([mpirun, "--version"]):
        pytest.skip("no mpirun of MPICH")
    show = ["sh", "-c", "ip -br -4 addr show eth0; tc qdisc show dev eth0"]
    found = output(network.star(mpirun, show, 10**8, 3))
    for rank in range(3):
        assert f"198.18.0.{rank + 1}/15" in found
    assert found.count("tbf") == found.count("rate 100Mbit") == 3
