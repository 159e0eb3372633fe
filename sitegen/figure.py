"""Draws docs/figures/step-reward.svg: four equal outcomes, and four steps that differ.

    python -m sitegen.figure

The library computes similarities, matched characters and advantages. Text has the colour of the
page around an inline drawing, or of the reader's system if the drawing is an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import count
from pathlib import Path
from statistics import fmean, pstdev

from srl_env.rewards.similarity import matched_blocks, step_similarity

FILE = Path(__file__).parents[1] / "docs/figures/step-reward.svg"
PROBLEM = "Anna has 3 bags of 4 apples and eats 5. How many are left?"
EXPERT = ("3 * 4 = 12", "12 - 5 = 7", "#### 7")
SAMPLES = ("12 - 5 = 7", "12 - 5 = 8", "3 + 4 - 5 = 2", "eat 5 of them")
OUTCOMES = ("✓✗✗", "✗✗✗", "✓✗✗", "✗✗✗")  # of whole solutions; ✓ for a correct step

WIDTH, MONO = 520, 8.0  # MONO: one character of the fixed-width text
GREEN, RED, GREY = "#2a9d6f", "#d9534f", "#8a8f98"
STYLE = f"""
.step-reward {{ color: #1c2027; font: 14px system-ui, sans-serif; max-width: {WIDTH}px; }}
.step-reward text {{ fill: currentColor; }}
.step-reward .mono {{ font: 13px ui-monospace, Menlo, Consolas, monospace; }}
.step-reward .faint {{ opacity: .72; font-size: 12.5px; }}
.step-reward .bold {{ font-weight: 600; }}
.step-reward .frame {{ fill: currentColor; fill-opacity: .05; stroke: currentColor;
  stroke-opacity: .22; }}
@media (prefers-color-scheme: dark) {{ .step-reward {{ color: #e3e6ea; }} }}
""".strip()


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled step: its similarity to the expert's, and its advantage in its group."""

    text: str
    similarity: float
    advantage: float


def samples() -> list[Sample]:
    """The group of the figure; advantages are (r − mean) / std."""
    rewards = [step_similarity(text, EXPERT[1]) for text in SAMPLES]
    centre, std = fmean(rewards), pstdev(rewards)
    return [
        Sample(text, reward, (reward - centre) / std)
        for text, reward in zip(SAMPLES, rewards, strict=True)
    ]


def draw() -> str:
    """The drawing as SVG."""
    parts = [*_problem(12), *_outcomes(116), *_steps(286)]
    title = (
        "Outcome rewards of four wrong solutions are all 0 and teach nothing; four sampled steps"
        " have four similarities to the expert's step, and so four advantages"
    )
    return "\n".join(
        [
            f'<svg class="step-reward" viewBox="0 0 {WIDTH} 470" role="img"'
            f' xmlns="http://www.w3.org/2000/svg"><title>{title}</title>',
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def _problem(top: float) -> list[str]:
    lines = [_frame(top, 88), _text(16, top + 24, PROBLEM, "bold")]
    lines.append(_text(16, top + 48, "The expert's solution, three steps:", "faint"))
    x = 16.0
    for number, step in zip(count(1), EXPERT, strict=False):
        lines += [_text(x, top + 74, f"{number}", "faint"), _mono(x + 16, top + 74, step)]
        x += 40 + len(step) * MONO
    return lines


def _outcomes(top: float) -> list[str]:
    lines = [_frame(top, 154), _text(16, top + 24, "Outcome reward (RLVR)", "bold")]
    lines.append(_text(16, top + 43, "four whole solutions, each rewarded at its end", "faint"))
    lines += _heads(top + 43)
    for y, steps in zip(count(top + 66, 21), OUTCOMES, strict=False):
        for x, sign in zip(count(20, 26), steps, strict=False):
            colour = GREEN if sign == "✓" else RED
            lines.append(
                f'<rect x="{x}" y="{y - 11}" width="22" height="14" rx="3" fill="{colour}"'
                ' fill-opacity=".35"/>'
            )
            lines.append(_text(x + 11, y, sign, anchor="middle", size=11))
        lines += [_mono(120, y, "wrong"), *_numbers(y, 0.0, 0.0)]
    lines.append(_text(16, top + 144, "✓ a right step, ✗ a wrong one", "faint"))
    return lines


def _steps(top: float) -> list[str]:
    lines = [_frame(top, 172), _text(16, top + 24, "Step reward (SRL)", "bold")]
    lines.append(_text(16, top + 43, "four next steps after “3 * 4 = 12”", "faint"))
    lines += _heads(top + 43)
    for y, sample in zip(count(top + 68, 24), samples(), strict=False):
        for start, _, size in matched_blocks(sample.text, EXPERT[1]):
            lines.append(
                f'<rect x="{20 + start * MONO}" y="{y - 12}" width="{size * MONO}" height="17"'
                f' rx="2" fill="{GREEN}" fill-opacity=".35"/>'
            )
        lines += [_mono(20, y, sample.text), *_numbers(y, sample.similarity, sample.advantage)]
    lines.append(_text(16, top + 162, "green: characters matched with “12 - 5 = 7”", "faint"))
    return lines


def _heads(y: float) -> list[str]:
    return [
        _text(346, y, "reward", "faint", anchor="end"),
        _text(440, y, "advantage", "faint", anchor="middle"),
    ]


def _numbers(y: float, reward: float, advantage: float) -> list[str]:
    """A reward, and an advantage as a bar to the left or right of 0 with its number."""
    middle, scale = 440, 32
    length = abs(advantage) * scale
    start = middle if advantage > 0 else middle - length
    colour = GREY if not advantage else GREEN if advantage > 0 else RED
    side, anchor = (-6, "end") if advantage > 0 else (6, "start")
    return [
        _text(346, y, f"{reward:.2f}", anchor="end"),
        f'<line x1="{middle}" x2="{middle}" y1="{y - 14}" y2="{y + 6}" stroke="{GREY}"/>',
        f'<rect x="{start:.1f}" y="{y - 11}" width="{length:.1f}" height="13" rx="2"'
        f' fill="{colour}"/>',
        _text(middle + side, y, f"{advantage:+.2f}" if advantage else "0", anchor=anchor, size=12),
    ]


def _frame(top: float, height: float) -> str:
    return (
        f'<rect class="frame" x="1" y="{top}" width="{WIDTH - 2}" height="{height}" rx="8"'
        ' stroke-width="1"/>'
    )


def _mono(x: float, y: float, text: str) -> str:
    """Text whose characters are each ``MONO`` wide, in whatever font there is."""
    width = len(text) * MONO
    return (
        f'<text class="mono" x="{x}" y="{y}" textLength="{width}" lengthAdjust="spacing"'
        f' xml:space="preserve">{escape(text)}</text>'
    )


def _text(
    x: float, y: float, text: str, name: str = "", *, anchor: str = "start", size: float = 0
) -> str:
    style = f' style="font-size:{size}px"' if size else ""
    return (
        f'<text x="{x}" y="{y}" class="{name}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
    )


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")
