"""The page in a real browser: filters, keys, a phone, ten thousand steps, hostile texts."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from srl_agents.evaluation.results import write_result
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.view.page import write_page
from srl_agents.view.sources import find_runs
from srl_env.rewards.similarity import matched_blocks
from srl_env.text.tool_calls import EDITOR, ToolCall
from tests.srl_agents.view.rows import (
    FAILURE,
    episode,
    group,
    step,
    training_run,
    updates,
    write_lines,
)

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium, or CHROMIUM=…"
)

HOSTILE = (
    '</script><script>document.title="taken"</script><img src=x onerror=\'document.title="taken"\'>'
    "<b>bold</b> &amp; \x00\x1b[31m \u202eright to left\u202c \u200b \ud800 end"
)
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """A function from rollouts to the opened page; what goes wrong in it fails the test."""
    troubles: list[str] = []
    contexts = []

    def open_page(
        rows: list[dict[str, Any]], *, phone: bool = False, evaluated: bool = False, **options: Any
    ) -> Any:
        write = evaluation if evaluated else training_run
        runs = find_runs([write(tmp_path / f"run{len(contexts)}", rows)])
        path = write_page(runs, tmp_path / f"view{len(contexts)}.html")
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console", lambda said: troubles.append(said.text) if said.type == "error" else None
        )
        page.on("request", lambda asked: _note_network(troubles, asked.url))
        page.goto(path.as_uri())
        until(lambda: page.evaluate("window.readyMs > 0"))
        if not evaluated:
            page.click("#tab-rollouts")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def evaluation(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The folder of a finished evaluation."""
    write_lines(folder / "episodes/000000.jsonl", rows)
    names = ("pass@1", "pass@2", "greedy", "legal", "legal_and_correct", "similarity")
    scores = dict.fromkeys(names, (0.0, 0.0))
    result = EvalResult("m" * 60, "srl/X-v0", "x/test", ("a", "b"), scores, 3, {}, {}, 1.0)
    write_result(folder, result)
    (folder / "settings.json").write_text(json.dumps({"policy": "m", "env": "srl/X-v0"}))
    return folder


WRONG = [
    episode(step("no"), update=None, group=number, verdict={"correct": False, "answer": "1"})
    for number in (0, 0, 1)
]


def test_an_evaluation_opens_on_its_rollouts_and_says_what_it_counts(opened: Open) -> None:
    page = opened(WRONG, evaluated=True)
    assert page.is_visible("#rollouts")
    until(lambda: page.inner_text("#count") == "3 steps of 3 rollouts of 2 problems, none correct")
    assert page.inner_text("#tab-rollouts") == "Rollouts (3)"
    page.click("#tab-runs")
    assert "Here: 3 rollouts of 2 problems, none correct." in page.inner_text("#scores-note")


def test_a_training_run_opens_on_its_curves_with_the_changes_of_stage(
    browser: Any, tmp_path: Path
) -> None:
    folder = training_run(tmp_path / "run", ROWS)
    rows = [
        row | {"stage": s, "success": 0.0} for row, s in zip(updates((1, 0)), "ab", strict=True)
    ]
    write_lines(folder / "metrics.jsonl", rows)
    page = browser.new_page()
    page.goto(write_page(find_runs([folder]), tmp_path / "view.html").as_uri())
    until(lambda: page.evaluate("window.readyMs > 0"))
    assert page.is_visible("#runs")
    figures = page.locator("#curves figure")
    assert figures.count() == 3
    assert all("a → b" in figures.nth(i).inner_text() for i in range(3))
    assert all(figures.nth(i).locator("line.change").count() == 1 for i in range(3))
    assert "0 throughout: nothing was solved" in figures.nth(1).inner_text()
    page.close()


def test_on_a_phone_a_wide_table_scrolls_within_itself(opened: Open) -> None:
    page = opened(WRONG, evaluated=True, phone=True, has_touch=True)
    page.tap("#tab-runs")
    box = "document.querySelector('#runs .scroll')"
    assert page.evaluate(f"{box}.scrollWidth > {box}.clientWidth")
    page.evaluate(f"{box}.scrollLeft = 10_000")
    assert page.evaluate(f"{box}.scrollLeft") > 0
    last = page.locator("#scores thead th").last.bounding_box()
    assert last["x"] + last["width"] <= 390
    assert 0.3 * 390 <= page.locator("#scores tbody th").first.bounding_box()["width"] <= 0.4 * 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def _note_network(troubles: list[str], url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        troubles.append(f"the page asked for {url}")


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Waits; the page's policy forbids playwright's own way of waiting, which is by eval."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def counted(page: Any, text: str) -> None:
    until(lambda: page.inner_text("#count").startswith(text))


ROWS = [
    *group("abc", "xbc"),
    episode(
        step("carry the 3", 0, text="<think>hm</think>\ncarry the 3"),
        step("so 7", 1, reward=-1.0, format_ok=False, legal=False),
        group=1,
        verdict={"correct": False, "answer": "7"},
        signals=[{"advantage": 0.0, "std": 0.0, "outcome": "zero_std"}, None],
    ),
    episode(step("c", 1, failure=FAILURE, reward=None), group=2, verdict=None, failure=FAILURE),
]


def test_filters_and_search_find_their_steps(opened: Open) -> None:
    page = opened(ROWS)
    counted(page, "5 steps of 4 rollouts")
    for control, value, count in (
        ("#f-step", "1", "2 steps of 2 rollouts"),
        ("#f-low", "0.2", "3 steps of 3 rollouts"),
        ("#f-high", "0", "1 step of 1 rollout"),
        ("#f-problem", "sum/1", "2 steps of 1 rollout"),
        ("#search", "CARRY", "1 step of 1 rollout"),
        ("#search", "within 2 s", "1 step of 1 rollout"),
        ("#search", "nowhere", "Nothing fits; clear a filter."),
    ):
        page.fill(control, value)
        counted(page, count)
        page.evaluate("document.getElementById('filters').reset()")
        counted(page, "5 steps of 4 rollouts")
    for control, value, count in (
        ("#f-verdict", "wrong", "2 steps of 1 rollout"),
        ("#f-failure", "any", "1 step of 1 rollout"),
        ("#f-outcome", "trained", "3 steps of 3 rollouts"),
        ("#f-outcome", "dropped", "1 step of 1 rollout"),
        ("#f-form", "broken", "1 step of 1 rollout"),
    ):
        page.select_option(control, value)
        counted(page, count)
        page.evaluate("document.getElementById('filters').reset()")
        counted(page, "5 steps of 4 rollouts")


def test_a_group_stands_side_by_side_with_the_shared_blocks_coloured(opened: Open) -> None:
    page = opened(ROWS)
    page.click("#row-1")
    until(lambda: page.locator(".card").count() == 2)
    current = page.locator('.card[aria-current="true"]')
    assert "rollout 2" in current.inner_text()
    assert "+1.00" in current.inner_text()
    assert current.locator("mark.same").all_inner_texts() == ["bc"]
    assert current.locator("mark.other").all_inner_texts() == ["x"]
    assert "group trained on" in page.inner_text("#detail")
    assert page.evaluate("location.hash") == "#step-1"


def test_thinking_prompt_and_tokens_are_folded_until_asked_for(opened: Open) -> None:
    page = opened(ROWS)
    page.click("#row-2")
    until(lambda: "carry the 3" in page.inner_text("#detail"))
    assert "hm" not in page.inner_text("#detail")
    page.keyboard.press("m")
    until(lambda: "<think>hm</think>" in page.inner_text("#detail"))
    until(lambda: "1+1?" in page.inner_text("#detail"))
    page.keyboard.press("t")
    until(lambda: page.locator("#card-2 .token").count() >= len("carry the 3"))
    assert "None of these tokens was trained on" in page.inner_text("#detail")
    page.keyboard.press("w")
    until(lambda: page.locator("[id^=card-]").count() == 2)
    assert "illegal step" in page.inner_text("#detail")


def test_a_rollout_of_calls_is_a_story_with_diffs_results_and_an_end(opened: Open) -> None:
    edit = ToolCall(
        EDITOR,
        {"command": "str_replace", "path": "a.py", "old_str": "x = 1", "new_str": "x = <b>2</b>"},
    )
    shown = [{"role": "user", "content": "The report"}]
    results = [{"role": "assistant", "content": "…"}, {"role": "user", "content": "     4\tx"}]
    verdict = {
        "correct": False,
        "fail_to_pass": {"t::<i>one</i>": False},
        "pass_to_pass": {},
        "diff": "-x = 1\n+x = <b>2</b>",
    }
    rows = [
        episode(
            step("no call", messages=shown),
            step(edit.render(), 1, messages=shown + results, expert_action=edit.render()),
            verdict=verdict,
        )
    ]
    page = opened(rows, phone=True, has_touch=True)
    page.tap("#row-1")
    page.tap("text=Whole rollout")
    until(lambda: "The end" in page.inner_text("#detail"))
    said = page.inner_text("#detail")
    assert "The report" in said
    assert "edit a.py" in page.inner_text("#card-1 .top")
    assert "The expert's call is the same." in said
    assert "Not resolved: 0 of 1 tests of the bug pass." in said
    assert "t::<i>one</i> still fails" in said
    assert page.locator("#detail b", has_text="2").count() == 0
    assert page.locator("#card-1 .diff mark.added").inner_text() == "+x = <b>2</b>"
    assert "     4\tx" not in said
    page.tap("#card-0 summary:text-is('result of the expert\\'s step')")
    until(lambda: "4\tx" in page.inner_text("#card-0"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_everything_can_be_reached_by_keyboard(opened: Open) -> None:
    page = opened(ROWS)
    page.focus("#list")
    page.keyboard.press("End")
    until(lambda: "VerifierTimeout: no answer within 2 s" in page.inner_text("#detail"))
    page.keyboard.press("Home")
    page.keyboard.press("j")
    until(lambda: page.evaluate("location.hash") == "#step-1")
    page.keyboard.press("h")
    until(lambda: page.evaluate("location.hash") == "#step-0")
    page.keyboard.press("/")
    page.keyboard.type("carry")
    counted(page, "1 step of 1 rollout")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"
    page.keyboard.press("1")
    assert page.is_visible("#scores")
    page.keyboard.press("?")
    assert page.is_visible("#keys")


def test_hostile_text_is_shown_and_does_nothing(opened: Open) -> None:
    rows = [
        episode(
            step(
                HOSTILE,
                expert_action=HOSTILE,
                messages=[{"role": "user", "content": HOSTILE}],
                text=f"<think>{HOSTILE}</think>{HOSTILE}",
                reward_parts={HOSTILE: 1.0},
            ),
            problem_id=HOSTILE,
            verdict={"correct": False, "answer": HOSTILE},
        )
    ]
    page = opened(rows)
    page.click("#row-0")
    until(lambda: page.locator(".card").count() == 1)
    for key in ("m", "t", "w"):
        page.keyboard.press(key)
        time.sleep(0.1)
    assert page.title().startswith("run0")
    assert page.locator("#rollouts img, #rollouts b b, #rollouts script").count() == 0
    shown = page.inner_text(".card pre")
    assert '</script><script>document.title="taken"</script><img src=x' in shown
    assert "<b>bold</b> &amp; U+0000U+001B[31m U+202Eright to leftU+202C U+200B U+D800 end" in shown
    everything = page.inner_text("body")
    assert not set(everything) & {"\x00", "\x1b", "\u202e", "\u200b"}


def test_the_blocks_are_those_that_the_reward_counts(opened: Open) -> None:
    page = opened(ROWS)
    pairs = [
        ("abcabba", "cbabac"),
        ("qabxcd", "abycdf"),
        ("private Thread t", "private volatile Thread t"),
        ("a" * 50 + "b" + "a" * 50, "a" * 101),
        ("𝑥² + 2𝑥", "𝑥² − 2𝑥 + 1"),
        ("abc", ""),
    ]
    for a, b in pairs:
        found = page.evaluate(
            "([a, b]) => matchedBlocks([...a], [...b]).blocks", [list(a), list(b)]
        )
        assert [tuple(block) for block in found] == matched_blocks(a, b)


def test_ten_thousand_steps_keep_few_rows_and_filter_at_once(opened: Open) -> None:
    rows = [
        episode(*(step(f"{number} {i}", i) for i in range(10)), group=number)
        for number in range(1000)
    ]
    page = opened(rows)
    counted(page, "10,000 steps of 1,000 rollouts")
    assert page.locator(".row").count() < 60
    page.fill("#f-step", "9")
    counted(page, "1,000 steps of 1,000 rollouts")
    assert page.evaluate("window.lastFilterMs") < 1000
    page.focus("#list")
    page.keyboard.press("End")
    until(lambda: page.evaluate("location.hash") == "#step-9999")
    until(lambda: page.locator('.row[aria-selected="true"]').inner_text().endswith("999 9"))


def test_on_a_phone_a_step_covers_the_list_and_nothing_is_wider_than_the_screen(
    opened: Open,
) -> None:
    page = opened([*ROWS, *group("long" * 200, number=9)], phone=True, has_touch=True)
    page.tap("#row-5")
    until(lambda: page.is_visible("#detail .back"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.getElementById('detail').scrollWidth") <= 390
    page.tap("#detail .back")
    until(lambda: not page.is_visible("#detail"))
    page.tap("#tab-runs")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(opened: Open, scheme: str) -> None:
    page = opened(ROWS, color_scheme=scheme)
    page.click("#row-1")
    until(lambda: page.locator(".card").count() == 2)
    for place in ("h2", ".card .parts", "mark.same", "mark.other", ".row .text", ".card .good"):
        contrast = page.evaluate(_CONTRAST, place)
        assert contrast is None or contrast >= 4.5, place


# WCAG 2.1's contrast between an element's text and the nearest background that is painted.
_CONTRAST = """(place) => {
  const node = document.querySelector(`#rollouts ${place}`);
  if (!node) return null;
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  let at = node;
  while (rgb(getComputedStyle(at).backgroundColor)[3] === 0) at = at.parentElement;
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const colours = [getComputedStyle(node).color, getComputedStyle(at).backgroundColor];
  const [p, q] = colours.map((colour) => light(rgb(colour)));
  return (Math.max(p, q) + 0.05) / (Math.min(p, q) + 0.05);
}"""
