"""How Sphinx builds the site: ``make docs``.

Nothing is fetched, and what is made goes to ignored folders.
"""

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
GENERATED = HERE / "generated"
sys.path.insert(0, str(HERE / "site"))

import gallery  # noqa: E402
import pictures  # noqa: E402
import reference  # noqa: E402

reference.write(GENERATED / "reference")
pictures.write(HERE / "measured", GENERATED)
gallery.copy(HERE.parent / "examples", GENERATED / "programs", GENERATED / "gallery")

BEFORE_FENCE = re.compile(r"\n\n( *)```(?=\n|$)")

project = "tapegrad"
author = "tapegrad developers"
copyright = author
release = version = metadata.version("tapegrad")

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["site", "measured", "generated/programs"]
suppress_warnings = ["config.cache"]  # what sphinx-gallery is told cannot be pickled
nitpicky = True

# The docstrings say of what types arguments are, in words.
autodoc_typehints = "none"
numpydoc_show_class_members = False

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence"]

sphinx_gallery_conf = {
    "examples_dirs": [str(GENERATED / "programs")],
    "gallery_dirs": ["generated/gallery"],
    "reset_argv": gallery.Arguments(),
    "image_scrapers": ("matplotlib", gallery.drawn),
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "show_signature": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "tapegrad"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_sidebars = {"index": []}
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def without_last_lines(app: object, name: str, source: list[str]) -> None:
    """Take off the empty line that ends a block: doctest needs it, and readers do not."""
    source[0] = BEFORE_FENCE.sub(r"\n\1```", source[0])


def by_last_name(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """Resolve a name that a docstring gives without its module, if just one name ends so."""
    domain = env.get_domain("py")
    if node.get("refdomain") != "py":
        return None
    last = "." + node["reftarget"].lstrip(".")
    known = domain.objects.items()
    found = [name for name, entry in known if name.endswith(last) and not entry.aliased]
    if len(found) != 1:
        return None
    kind, page = node["reftype"], node["refdoc"]
    return domain.resolve_xref(env, page, app.builder, kind, found[0], node, content)


def setup(app: Sphinx) -> None:
    """Tell Sphinx what is done with pages that are read, and with names that it does not find."""
    app.connect("source-read", without_last_lines)
    app.connect("missing-reference", by_last_name)
