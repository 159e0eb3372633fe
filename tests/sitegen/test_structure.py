"""The figures of the structure, on imports that can be counted by hand."""

from __future__ import annotations

from sitegen.structure import (
    PACKAGES,
    circle,
    folder_sizes,
    levels,
    module_imports,
    part,
    part_imports,
)

TOWER = {
    "top": frozenset({"middle", "ground"}),
    "middle": frozenset({"ground"}),
    "ground": frozenset[str](),
}


def test_a_level_is_one_above_the_highest_that_is_imported() -> None:
    assert levels(TOWER) == {"ground": 1, "middle": 2, "top": 3}


def test_a_circle_is_listed_from_its_start_to_its_start() -> None:
    assert circle(TOWER) == []
    found = circle({**TOWER, "ground": frozenset({"top"})})
    assert found[0] == found[-1]
    assert set(found) >= {"top", "ground"}


def test_imports_are_found_wherever_they_stand() -> None:
    imports = module_imports("srl_env")
    assert "srl_env.errors" in imports["srl_env.problem"]  # at the top
    assert "srl_env.environment" in imports["srl_env.batch.stepping"]  # for type checkers
    assert "srl_env.batch.vector" in imports["srl_env.registration.ids"]  # inside a function
    relative = imports["srl_env.sandbox.inside.keeper"]
    assert {"srl_env.sandbox.inside.kernel", "srl_env.sandbox.inside.wire"} <= relative


def test_parts_are_the_folders_and_files_directly_below_the_package() -> None:
    assert part("srl_env.rewards.modes") == part("srl_env.rewards") == "rewards"
    assert part("srl_env.errors") == "errors"
    assert part("srl_env") == ""
    assert part_imports("srl_env")["problem"] == {"errors"}


def test_modules_are_counted_in_the_folder_they_lie_in() -> None:
    sizes = folder_sizes("srl_tasks")
    assert sizes["envs/srl_tasks"] == 1
    files = [file.name for file in (PACKAGES["srl_tasks"] / "generated").glob("*.py")]
    assert sizes["envs/srl_tasks/generated"] == len(files)
