"""Small pages: a light markup to HTML, templates, tables, outlines and wrapped text."""

from pagemill.errors import PageError, TemplateError
from pagemill.escape import escape, safe_target, strip_tags
from pagemill.html import render
from pagemill.inline import render_inline
from pagemill.outline import Entry, outline, slugify, table_of_contents
from pagemill.template import Template, fill
from pagemill.wrap import columns, justify, wrap

__all__ = [
    "Entry",
    "PageError",
    "Template",
    "TemplateError",
    "columns",
    "escape",
    "fill",
    "justify",
    "outline",
    "render",
    "render_inline",
    "safe_target",
    "slugify",
    "strip_tags",
    "table_of_contents",
    "wrap",
]
