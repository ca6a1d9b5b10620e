"""The sparse allreduce over real MPI ranks."""

import pytest

pytestmark = pytest.mark.mpi


def test_identical_bits_on_every_rank(mpirun):
    done = mpirun("identical.py", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "1", "True"]


def test_mismatches_raise_everywhere(mpirun):
    done = mpirun("mismatch.py", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "agreed"


def test_messages_in_rounds(mpirun):
    done = mpirun("rounds.py", 4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "gathered"


@pytest.mark.parametrize("ranks", [1, 3])
def test_frames_that_go_with_descriptors(mpirun, ranks):
    done = mpirun("announced.py", ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "announced"


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5, 8])
def test_every_algorithm_with_any_number_of_ranks(mpirun, ranks):
    """Also on halves of them; all have the same bits and lose nothing."""
    done = mpirun("algorithms.py", ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[] 1 ")


def test_every_algorithm_on_two_nodes(mpirun, monkeypatch):
    """As many as MPICH can be made to see: even ranks on one, odd ranks on the other."""
    monkeypatch.setenv("MPIR_CVAR_ODD_EVEN_CLIQUES", "1")
    done = mpirun("algorithms.py", 5)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() in (["[]", "2", "True"], ["[]", "1", "False"])


def test_buckets_in_flight_and_the_memory_of_an_allgather(mpirun):
    """All frames, 8 bytes for each element in them, and a sixteenth of the gradient to encode."""
    done = mpirun("buckets.py", 4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_killed_rank_ends_the_job(mpirun):
    done = mpirun("killed.py", 3, timeout=60)
    assert done.returncode != 0
    assert "went on" not in done.stdout


def test_ranks_share_cores_and_compiled_kernels(mpirun):
    done = mpirun("launched.py", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "as it should be"


def test_a_launcher_of_another_library(mpirun, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    done = mpirun("launched.py", 2)
    assert done.returncode == 0, done.stderr
    assert "started 4 ranks (OMPI_COMM_WORLD_SIZE), but MPI.COMM_WORLD has 2" in done.stdout


def test_an_exception_on_one_rank_ends_the_job(mpirun):
    done = mpirun("raises.py", 3, timeout=60)
    assert done.returncode != 0
    assert "rank 1 gives up" in done.stderr
