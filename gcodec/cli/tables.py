"""Tables for people: drawn by rich on a terminal where it is installed, else columns of plain text.

Rich leaves out colours where `NO_COLOR` is set; plain text has none.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

Rows = Sequence[Sequence[str]]


def show(rows: Rows, *, header: bool = True) -> None:
    """Print rows, the first of which is the header, if there is one.

    The first column is aligned to the left; the others too where there is no header.
    """
    if sys.stdout.isatty() and find_spec("rich") is not None:
        _draw(rows, header)
    else:
        print(plain(rows, header=header))


def plain(rows: Rows, *, header: bool = True) -> str:
    """Rows in columns as wide as what is in them.

    >>> print(plain([["recipe", "bytes"], ["topk", "1,200"], ["reclog", "80"]]))
    recipe  bytes
    topk    1,200
    reclog     80
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    align = str.rjust if header else str.ljust
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(align, row[1:], widths[1:])]).rstrip()
        for row in rows
    )


def _draw(rows: Rows, header: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    head = rows[0] if header else [""] * len(rows[0])
    table = Table(show_header=header, box=None, header_style="bold", pad_edge=False)
    for number, title in enumerate(head):
        table.add_column(title, justify="right" if header and number else "left", overflow="fold")
    for row in rows[header:]:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
