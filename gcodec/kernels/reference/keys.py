"""Keys to gaps, and matrices to their active columns (spec section 8).

A job for gaps is a chunk, or a list of columns: FIRST and COUNT are its range of keys, INDEX the
place of its gaps.

A job for columns is a piece of a chunk: positions INDEX to INDEX + END of the chunk, of which FIRST
and COUNT are the keys. WIDTH is 0 if it stays as it is; else position - INDEX + START = row * WIDTH
+ column, and the piece is made compact to its SPLIT active columns, those that hold a key.
"""

from ..jobs import SPLIT


def to_gaps(jobs, keys, gaps):
    """Distances to the key before, at least 1."""
    for _, _, first, count, _, index, _ in jobs.tolist():
        ascending = keys[first : first + count].tolist()
        pairs = zip([-1, *ascending], ascending, strict=False)
        gaps[index : index + count] = [key - previous for previous, key in pairs]


def count_classes(jobs, gaps, histograms):
    """How often each bit length occurs among each job's gaps: int64[jobs, 32]."""
    histograms[:] = 0
    for job, (_, _, _, count, _, index, _) in enumerate(jobs.tolist()):
        for gap in gaps[index : index + count].tolist():
            histograms[job, gap.bit_length()] += 1


def classify(gaps, classes):
    """Bit length of each gap."""
    classes[:] = [gap.bit_length() for gap in gaps.tolist()]


def list_columns(pieces, keys, marks, columns):
    """Active columns of every piece with a WIDTH, ascending; fills SPLIT, returns their number."""
    done = 0
    for piece, (phase, _, first, count, width, begin, _) in enumerate(pieces.tolist()):
        inside = keys[first : first + count].tolist()
        active = sorted({(key - begin + phase) % width for key in inside}) if width else []
        pieces[piece, SPLIT] = len(active)
        columns[done : done + len(active)] = active
        done += len(active)
    return done


def to_compact(chunks, pieces, columns, keys, ranks, compact):
    """Keys by the active columns of their pieces; a chunk's pieces are FIRST to FIRST + COUNT."""
    listed = 0
    for _, _, start, number, *_ in chunks.tolist():
        base = 0
        for piece in pieces[start : start + number].tolist():
            phase, _, first, count, width, begin, split = piece
            active = columns[listed : listed + split].tolist()
            listed += split
            for j in range(first, first + count):
                local = int(keys[j]) - begin
                if width:
                    row, column = divmod(local + phase, width)
                    local = row * split + active.index(column)
                compact[j] = base + local
            base += _compact_size(piece)


def _compact_size(piece):
    phase, length, _, _, width, _, split = piece
    return ((phase + length - 1) // width + 1) * split if width else length
