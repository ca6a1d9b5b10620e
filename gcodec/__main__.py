"""`python -m gcodec` is `gcodec`."""

from .cli.main import run

run()
