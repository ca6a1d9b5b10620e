"""Progress on stderr for whoever waits at a terminal: drawn by rich where it is installed, else as
plain text. Nothing where stderr is no terminal or JSON was asked for; the bar goes when work ends.

Rich leaves out colours where `NO_COLOR` is set; plain text has none.
"""

import shutil
import sys
from importlib.util import find_spec
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Protocol

WIDTH: Final = 24


class _Drawing(Protocol):
    def show(self, done: int, text: str) -> None: ...

    def close(self) -> None: ...


class Bar:
    """So many steps, each announced when it begins; leave the `with` block and it is gone.

    Parameters
    ----------
    steps : int
    quiet : bool
        Whether nothing is shown whatever stderr is.
    """

    def __init__(self, steps: int, *, quiet: bool) -> None:
        self._begun = 0
        self._drawing: _Drawing | None = None
        if not quiet and sys.stderr.isatty():
            self._drawing = _Rich(steps) if find_spec("rich") is not None else _Plain(steps)

    def step(self, text: str) -> None:
        """What is done from now on; all steps before are."""
        if self._drawing is not None:
            self._drawing.show(self._begun, text)
        self._begun += 1

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawing is not None:
            self._drawing.close()


class _Plain:
    def __init__(self, steps: int) -> None:
        self._steps, self._started = steps, perf_counter()

    def show(self, done: int, text: str) -> None:
        share = done / self._steps
        filled = round(WIDTH * share)
        seconds = perf_counter() - self._started
        line = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%} {seconds:.0f} s  {text}"
        line = line[: shutil.get_terminal_size().columns - 1]
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Rich:
    def __init__(self, steps: int) -> None:
        from rich import progress
        from rich.console import Console

        columns = (
            progress.SpinnerColumn(),
            progress.BarColumn(WIDTH),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.description}", markup=False),
        )
        console: Any = Console(stderr=True, highlight=False)
        self._progress: Any = progress.Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task("", total=steps)
        self._progress.start()

    def show(self, done: int, text: str) -> None:
        self._progress.update(self._task, completed=done, description=text, refresh=True)

    def close(self) -> None:
        self._progress.stop()
