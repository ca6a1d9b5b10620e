"""Lists of layers as text: CSV with a heading, or JSON."""

import csv
import json
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any, Final

from ..problem import Layers

FIELDS: Final = ("name", "elements", "seconds")


def parse_csv(text: str) -> Layers:
    """Layers of a CSV file with the columns name, elements and seconds.

    Raises
    ------
    ValueError
        If a column or a value is missing or is no number; the message names the line.
    """
    reader = csv.DictReader(StringIO(text))
    missing = set(FIELDS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(
            f"line 1: the heading has no {', '.join(sorted(missing))}: it names the columns "
            f"{', '.join(FIELDS)}"
        )
    return _layers((f"line {reader.line_num}", row) for row in reader)


def parse_json(text: str) -> Layers:
    """Layers of a JSON list of objects with name, elements and seconds.

    Raises
    ------
    ValueError
        As for `parse_csv`; the message names the place in the list.
    """
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError(f"give a list of objects with {', '.join(FIELDS)}")
    return _layers((f"layer {number}", row) for number, row in enumerate(found, 1))


def _layers(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Layers:
    names, sizes, seconds = [], [], []
    for where, row in rows:
        missing = [field for field in FIELDS if row.get(field) is None]
        if missing:
            raise ValueError(f"{where}: no {', '.join(missing)}")
        try:
            names.append(str(row["name"]))
            sizes.append(int(str(row["elements"])))
            seconds.append(float(row["seconds"]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
    return Layers(tuple(names), tuple(sizes), tuple(seconds))
