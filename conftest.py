"""Which modules have no doctests to run: integrations whose framework is not installed.

Where `CI` is set, none is left out, so that a missing framework is a failure there.
"""

import os
from importlib.util import find_spec

FRAMEWORKS = {
    "numcodecs": "numcodecs",
    "zarr": "zarr",
    "torch": "torch",
    "torchgroup": "torch",
    "torchtensors": "torch",
    "optax": "optax",
}
collect_ignore = [
    f"gcodec/integrations/{module}.py"
    for module, framework in FRAMEWORKS.items()
    if not os.environ.get("CI") and find_spec(framework) is None
]
