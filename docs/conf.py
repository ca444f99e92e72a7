"""How the documentation is built: `make docs` writes it to dist/docs, and fails on anything that is not whole."""

project = "Durable knowledge extraction"
copyright = "the authors, Apache-2.0"  # noqa: A001 -- Sphinx's name for it
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_static"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
