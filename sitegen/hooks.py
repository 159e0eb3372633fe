"""What MkDocs calls while it builds the site: generated parts, repository files, no network.

A page asks for a generated part by a comment, ``<!-- generated: gallery -->``. The parts are
functions of ``PARTS``; their text comes from the installed packages. A link from a page to a file
outside of ``docs`` leads to a page with that file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # MkDocs loads this file by its path

from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files, InclusionLevel  # noqa: E402

from sitegen.links import files_linked, inlined_figures, with_source_pages  # noqa: E402
from sitegen.parts import with_parts  # noqa: E402

FENCES = {".py": "python", ".toml": "toml", ".json": "json"}
_FROM_NETWORK = re.compile(
    r"<(?:script|img|iframe|link(?=[^>]*rel=.?(?:stylesheet|preconnect|icon)))"
    r"[^>]*\s(?:src|href)=.?https?:[^>]*>"
)


def on_files(files: Files, config: Any) -> Files:
    """Adds a page for each file of the repository that a page of ``docs`` links to."""
    for path in files_linked(Path(config["docs_dir"])):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        content = f"# {name}\n\n`````{FENCES.get(path.suffix, 'text')}\n{text}`````\n"
        page = File.generated(
            config, f"source/{name}.md", content=content, inclusion=InclusionLevel.NOT_IN_NAV
        )
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The page with its generated parts, its figures inline, and links to files of the site."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    folder = Path(config["docs_dir"], page.file.src_uri).parent
    return with_source_pages(inlined_figures(with_parts(markdown), folder), folder, ROOT)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """The page unchanged; an error if a reader's browser would need the network."""
    asked = _FROM_NETWORK.search(output)
    if asked:
        raise PluginError(f"{page.file.src_uri} needs the network to be read: {asked[0]}")
    return output
