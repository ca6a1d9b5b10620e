"""Recorded lists: tensors in the order in which a backward pass makes their gradients.

`bench/backward.py` recorded them with PyTorch on two CPU cores, evaluation mode: ResNet-50 on one
image of 112x112, and a transformer of 12 layers, width 512, 32,000 tied tokens on 32 of them.
"""

from importlib.resources import files
from typing import Final

from ..problem import Layers
from .lists import parse_csv

RECORDED: Final = ("resnet50", "transformer12")


def recorded(name: str) -> Layers:
    """A list by name."""
    return parse_csv(files(__name__).joinpath(f"{name}.csv").read_text("utf-8"))
