"""``characters``: Ratcliff–Obershelp over characters, as in SRL.

Range: [0, 1], 1 for equal texts only. Blind spots: it hardly notices a wrong number, and it
penalises a step for being longer or shorter than the expert's.
"""

from __future__ import annotations

from srl_env.rewards.record import TextMeasure
from srl_env.rewards.similarity import step_similarity

CHARACTERS = TextMeasure(step_similarity)
