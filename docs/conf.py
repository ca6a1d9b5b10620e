"""How Sphinx makes the site, from the root of the repository: pages link to each other and to the
specification as they do on the web.

    sphinx-build -W --keep-going -c docs . build/site
"""

from importlib.util import find_spec

import gcodec

project = "gcodec"
version = release = gcodec.__version__
copyright = "the gcodec authors"

root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**", "spec/*.md"]
exclude_patterns = ["docs/html"]
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_parser"]

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # blocks of bytes in the specification

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "special-members": "__call__"}
autodoc_typehints = "none"  # docstrings have the types
autodoc_mock_imports = [
    name
    for name in ("jax", "mpi4py", "numcodecs", "optax", "torch", "zarr")
    if find_spec(name) is None
]

html_theme = "furo"
html_title = f"gcodec {release}"
html_extra_path = ["html"]
html_copy_source = False


def undocumented(app, what, name, member, skip, options):
    """Leave out what says nothing: the fields of named tuples, which their classes document."""
    return skip or str(getattr(member, "__doc__", "")).startswith("Alias for field number")


def setup(app):
    app.connect("autodoc-skip-member", undocumented)
