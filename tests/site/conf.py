"""What Sphinx is told; `python -m tests.site` calls it."""

project = "bearerguard"
author = "the bearerguard authors"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "furo"
html_title = "bearerguard"
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# As a forge makes anchors of headings, so that one link is good in both worlds.
myst_heading_anchors = 6
pygments_style = "sphinx"
pygments_dark_style = "monokai"
