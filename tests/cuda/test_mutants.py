"""Changes of one instruction, generated from the text of kernels, that their tests must notice.

Those of barriers, and of words that are published for other blocks, are run here; `ptx.mutants`
runs those of bounds too.
"""

import pytest
from ptx import mutants

pytestmark = pytest.mark.cuda


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", mutants.CASES)
def test_barriers_and_published_words_matter(name):
    made = mutants.of(name, ("barrier", "publish", "order"))
    assert [mutant.line for mutant in mutants.surviving(made)] == []


def test_what_is_sound_survives():
    barrier = mutants.of("collect_uint32", ("barrier",))[0]
    itself = barrier._replace(instead=mutants.instructions(barrier.line))
    assert mutants.surviving([itself]) == [itself]
