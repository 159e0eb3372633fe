"""The teacher behind a server, against one on loopback that answers as vLLM's does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agents.models.small import character_tokenizer
from srl_agents.nn.score import Continuation
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.servers.teacher import TeacherServer, probe_text
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.errors import BadOption
from tests.srl_agents import letters
from tests.srl_agents.policies.servers.loopback import Loopback, Request, refuses

PREFIXES = [[1, 2, 3, 4], [5, 6]]
CONTINUATIONS = [Continuation(0, 3, [4, 5]), Continuation(1, 2, [7]), Continuation(0, 4, [1, 2, 3])]


class ScoringServer(Loopback):
    """Scores as vLLM's server does: ``prompt_logprobs``, with the likeliest token beside each."""

    def __init__(self, model: Any, tokenizer: Any, *script: Any) -> None:
        super().__init__(*script, answer=self._answer)
        self.model, self.tokenizer = model, tokenizer

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")

    def _answer(self, request: Request) -> Request:
        if "add_special_tokens" in request:
            ids = self.tokenizer(request["prompt"], add_special_tokens=False)["input_ids"]
            return {"count": len(ids), "max_model_len": 64, "tokens": ids}
        ids = request["prompt"]
        with torch.no_grad():
            rows = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        choice = {
            "text": "x",
            "finish_reason": "length",
            "prompt_logprobs": [None, *map(_entry, rows[:-1], ids[1:])],
            "prompt_token_ids": ids,
        }
        return {"id": "cmpl-1", "choices": [choice], "usage": {"prompt_tokens": len(ids)}}


def _entry(row: torch.Tensor, token: int) -> dict[str, Any]:
    likeliest = int(row.argmax())
    return {
        str(each): {"logprob": float(row[each]), "rank": 1, "decoded_token": "x"}
        for each in (likeliest, token)
    }


@contextmanager
def serving(*script: Any, tokenizer: Any = letters.TOKENIZER) -> Iterator[ScoringServer]:
    with ScoringServer(letters.base(seed=1), tokenizer, *script) as server:
        yield server


def test_the_log_probs_are_those_of_the_served_model() -> None:
    expected, mask, _ = TransformersPolicy(
        letters.base(seed=1), letters.TOKENIZER
    ).decoder.token_logprobs(PREFIXES, CONTINUATIONS)
    with serving() as server:
        teacher = TeacherServer(server.root, letters.TOKENIZER)
        found, real, _ = teacher.token_logprobs(PREFIXES, CONTINUATIONS)
        teacher.close()
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(real, mask)
    sent = [request for request in server.requests if "prompt_logprobs" in request]
    assert sorted(request["prompt"] for request in sent) == [
        [1, 2, 3, 4, 1, 2, 3],
        [1, 2, 3, 4, 5],
        [5, 6, 7],
    ]
    assert {request["max_tokens"] for request in sent} == {1}
    assert {request["model"] for request in sent} == {"served"}


def test_a_server_with_another_tokenizer_is_refused() -> None:
    with (
        serving(tokenizer=character_tokenizer("dcba#")) as server,
        pytest.raises(BadOption, match=r"must have the tokenizer of model\.path; 'served'"),
    ):
        TeacherServer(server.root, letters.TOKENIZER)


def test_no_server_is_refused_with_the_command_that_starts_one() -> None:
    with pytest.raises(BadOption, match=r"gave no answer .* Fix: start it with: vllm serve MODEL"):
        TeacherServer("http://127.0.0.1:1", letters.TOKENIZER)


def test_the_probe_has_tokens_from_all_over_the_vocabulary() -> None:
    assert set(probe_text(letters.TOKENIZER)) >= set(letters.LETTERS)


def test_a_completion_that_cannot_be_scored_is_not_distilled() -> None:
    with serving() as server:
        teacher = TeacherServer(server.root, letters.TOKENIZER)
        server.script.append(refuses(400, "too long"))
        found, mask, _ = teacher.token_logprobs(PREFIXES[1:], [Continuation(0, 2, [7, 1])] * 2)
        teacher.close()
    assert sorted(row.isnan().all().item() for row in found) == [False, True]
    assert mask.all()


def test_a_run_learns_from_a_served_teacher_as_from_its_checkpoint(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "teacher"
    letters.base(seed=1).save_pretrained(folder)
    letters.TOKENIZER.save_pretrained(folder)
    found = []
    with serving() as server:
        for name, teacher in (("folder", str(folder)), ("server", server.root)):
            named = {"stages": {"opd": {"objective": {"teacher": teacher}}}}
            changes = {"method": "opd", "out": str(tmp_path / name), "budget": {"updates": 2}}
            found.append(train(make_config(merged(tree, changes | named))).metrics)
    assert found[1]["teacher_failures"] == 0
    for name in ("divergence", "loss", "grad_norm"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-3)
