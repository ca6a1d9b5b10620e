"""The sparse allreduce over real MPI ranks."""

import pytest

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_identical_bits_on_every_rank(mpirun, ranks):
    done = mpirun("identical.py", ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(ranks), "1", "True"]


@pytest.mark.parametrize("ranks", [2, 3])
def test_mismatches_raise_everywhere(mpirun, ranks):
    done = mpirun("mismatch.py", ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "agreed"


def test_messages_in_rounds(mpirun):
    done = mpirun("rounds.py", 4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "gathered"


def test_an_exception_on_one_rank_ends_the_job(mpirun):
    done = mpirun("raises.py", 3, timeout=60)
    assert done.returncode != 0
    assert "rank 1 gives up" in done.stderr
