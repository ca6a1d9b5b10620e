"""Fused buckets and measured plans over real MPI ranks."""

import pytest

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("ranks", [1, 3])
def test_plans_and_buckets(mpirun, tmp_path, ranks):
    layers = tmp_path / "net.csv"
    layers.write_text("name,elements,seconds\na,500,0.001\nb,300,0.001\n")
    done = mpirun("fused.py", ranks, arguments=[str(layers)])
    assert done.returncode == 0, done.stderr
    heading = f"topk:ratio=0.1 between {ranks} ranks, network: measured"
    assert done.stdout.splitlines()[0] == heading
    assert done.stdout.count("no way to group these layers takes less") == 1
