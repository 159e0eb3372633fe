"""Fenced blocks, with fences in them."""

from __future__ import annotations

import time

import pytest

from srl_env.text.fences import Block, fenced_blocks


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("", []),
        ("no block", []),
        ("```\nls\n```", ["ls"]),
        ("a\n```bash\nls\n```\nb", ["ls"]),
        ("```\na\n```\nand\n```\nb\n```", ["a", "b"]),
        ("```\nopen", []),
        ("```\ncat <<'EOF'\n```\nEOF\n```", ["cat <<'EOF'\n```\nEOF"]),
        ("```\ncat <<-E\n```py\nx\n```\n  E\nls\n```", ["cat <<-E\n```py\nx\n```\n  E\nls"]),
        ("```\ncat <<A\n```\nA\ncat <<B\n```\nB\n```", ["cat <<A\n```\nA\ncat <<B\n```\nB"]),
        ("```\ncat <<A\nA\ncat <<B\n```\nB\n```", ["cat <<A\nA\ncat <<B\n```\nB"]),
        ("```markdown\n```python\nx\n```\n```", ["```python\nx\n```"]),
        ("```\necho 1 << 2\n```", ["echo 1 << 2"]),
        ("```\ncat <<EOF\nnever ended\n```", ["cat <<EOF\nnever ended"]),
    ],
)  # fmt: skip
def test_the_outermost_blocks_are_found(text: str, contents: list[str]) -> None:
    assert [block.content.strip() for block in fenced_blocks(text)] == contents


def test_a_block_says_where_it_stands_and_its_language() -> None:
    assert fenced_blocks("say\n```sh\nls\n```\nend") == [Block(4, 16, "sh", "\nls\n")]


@pytest.mark.parametrize(
    "text",
    [
        "```\n" * 100_000,
        "```a\n" * 100_000,
        "```\ncat <<A\n" * 50_000,
        "```\n" + "```a\n```\n" * 50_000 + "```",
        "```\n" + "```a\n<<<\n```\n" * 50_000 + "```",
        "```\n" + "<<A\nA\n" * 100_000 + "```",
        "```\n<<" + " " * 1_000_000 + "\n```",
    ],
    ids=range(7),
)
def test_a_megabyte_of_fences_is_read_at_once(text: str) -> None:
    began = time.thread_time()
    fenced_blocks(text)
    assert time.thread_time() - began < 3
