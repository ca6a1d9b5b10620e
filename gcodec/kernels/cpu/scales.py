"""Blocks of positions, and what values in them are multiplied by.

A place is a run of blocks: its first position, the length of its blocks, the number of its first
block (`format.scales.places`). Positions ascend, so most are in the block of the one before.
"""

from .jit import helper, kernel

START, LENGTH, NUMBER = range(3)


@kernel
def find_blocks(keys, counts, chunk_log2, places, blocks):
    """The block that each element is in."""
    j, run, block, end = 0, 0, -1, -1
    for chunk in range(counts.size):
        base = chunk << chunk_log2
        for _ in range(counts[chunk]):
            position = base + keys[j]
            if position >= end:
                run, block, end = _block_of(position, places, run)
            blocks[j] = block
            j += 1


@kernel
def rescale(keys, counts, coded, first, chunk_log2, places, scales, each, values):
    """`values[j] *= scale` of its block, in chunks from `first` on, of those that are `coded`.

    There are `each` scales of a block: with two, the second is for negative values.
    """
    j, run, block, end = 0, 0, -1, -1
    for chunk in range(counts.size):
        base = first + chunk << chunk_log2
        stop = j + counts[chunk]
        if coded[chunk]:
            for i in range(j, stop):
                position = base + keys[i]
                if position >= end:
                    run, block, end = _block_of(position, places, run)
                negative = each == 2 and values[i] < 0
                values[i] *= scales[block * each + negative]
        j = stop


@helper
def _block_of(position, places, run):
    """The run and the block of a position that is not before that run, and where the block ends."""
    while run + 1 < places.shape[0] and places[run + 1, START] <= position:
        run += 1
    start, length = places[run, START], places[run, LENGTH]
    within = (position - start) // length
    end = start + (within + 1) * length
    if run + 1 < places.shape[0]:
        end = min(end, places[run + 1, START])
    return run, places[run, NUMBER] + within, end
