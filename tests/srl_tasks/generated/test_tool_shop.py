"""The tool shop: what tools return, experts that are correct, calls rewarded one by one."""

from __future__ import annotations

import random
import re

import pytest

import srl_env
from srl_env import ReasoningEnv
from srl_env.text.tools import Call
from srl_tasks.generated.tool_shop import FORMAT, ToolShopSource, run_tool

WORLD = {
    "products": {"lamp": {"price": 980}},
    "customers": {"Olga": {"discount": 20, "city": "Cadiz"}},
    "cities": {"Cadiz": {"shipping": 530}},
}


def lookup(table: str, key: str, field: str) -> Call:
    return Call("lookup", {"table": table, "key": key, "field": field})


def calculate(expression: str) -> Call:
    return Call("calculate", {"expression": expression})


def test_calls_that_bring_the_solution_forward_are_accepted() -> None:
    env = srl_env.make("srl/ToolShop-v0", difficulty=2, reward_mode="srl", measure="accepts")
    of = env.unwrapped
    assert isinstance(of, ReasoningEnv)
    env.reset(seed=0, options={"continuation": "policy"})
    prices, customer = list(of.expert_steps[:2]), of.expert_steps[3]
    order = re.findall(r"([0-9]+) ([a-z]+?)s?[,.]", of.problem.prompt)
    (n, one), (m, other) = order
    p, q = (of.problem.metadata["world"]["products"][name]["price"] for name in (one, other))
    discount = int(customer.observation or "")

    def reward(call: Call | str) -> float:
        return float(env.step(call if isinstance(call, str) else call.render())[1])

    assert reward(calculate(f"{n} * {p}")) == 0.0  # the price is not known yet
    assert reward(customer.action) == 1.0  # earlier than the expert
    assert reward(customer.action) == 0.0  # a second time
    assert reward(lookup("products", "nothing", "price")) == 0.0
    assert [reward(step.action) for step in prices] == [1.0, 1.0]
    goods = int(n) * p + int(m) * q
    assert reward(Call("answer", {"value": goods * (100 - discount) // 100}).render()) == 0.0


def test_a_calculation_in_other_words_is_accepted() -> None:
    env = srl_env.make("srl/ToolShop-v0", difficulty=1, reward_mode="srl", measure="accepts")
    of = env.unwrapped
    assert isinstance(of, ReasoningEnv)
    env.reset(seed=0)
    price, goods, answer = (step.action for step in of.expert_steps)
    n, p = str(FORMAT.read(goods).arguments["expression"]).split(" * ")

    def rewards(*calls: str) -> list[float]:
        env.reset(seed=0, options={"continuation": "policy"})
        return [float(env.step(call)[1]) for call in calls]

    turned = calculate(f"{p} * {n}").render()
    assert rewards(price, turned, answer) == [1.0, 1.0, 1.0]
    assert rewards(price, goods, turned) == [1.0, 1.0, 0.0]  # nothing new
    assert rewards(price, answer) == [1.0, 0.0]  # nothing was calculated
    assert rewards(price, calculate(f"{p} * {p}").render()) == [1.0, 0.0]
    assert rewards(price, calculate(f"{int(n) + 1000} * {p}").render()) == [1.0, 0.0]


@pytest.mark.parametrize(
    "expression", ["(" * 199, "9" * 199, "1 +" * 60, "9" * 10**5, "__import__('os')"]
)
def test_no_expression_hangs_or_crashes_the_checker(expression: str) -> None:
    env = srl_env.make("srl/ToolShop-v0", reward_mode="srl", measure="accepts")
    env.reset(seed=0)
    assert env.step(calculate(expression).render())[1] in (0.0, -1.0)


@pytest.mark.parametrize(
    ("call", "returned"),
    [
        (lookup("products", "lamp", "price"), "980"),
        (lookup("customers", "Olga", "city"), "Cadiz"),
        (lookup("products", "sofa", "price"), "error: no row 'sofa' in products"),
        (lookup("cities", "Cadiz", "price"), "error: cities have no field 'price'"),
        (Call("calculate", {"expression": "3 * (980 + 20) // 7 - -1"}), "429"),
        (Call("answer", {"value": 3}), "The answer was recorded."),
    ],
)
def test_tools_return_values_or_say_what_is_wrong(call: Call, returned: str) -> None:
    assert run_tool(WORLD, call) == returned


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "1 // 0",
        "__import__('os')",
        "1.5 + True",
        "99999999 * 99999999",
        "(" * 201,
        "",
        "1 +",
    ],
)
def test_the_calculator_refuses_everything_but_short_whole_number_expressions(
    expression: str,
) -> None:
    returned = run_tool(WORLD, Call("calculate", {"expression": expression}))
    assert returned.startswith(("error: give whole numbers", "error: an expression has at most"))


@pytest.mark.parametrize("difficulty", [1, 2, 3, 6])
def test_an_expert_pays_the_goods_less_the_discount_and_the_shipping(difficulty: int) -> None:
    source = ToolShopSource(difficulty)
    for index in random.Random(difficulty).sample(range(10**6), 20):
        problem = source[index]
        assert problem.answer is not None
        steps, world = problem.trajectories[0].steps, problem.metadata["world"]
        asked = [s.action for s in steps if '"lookup"' in s.action]
        assert len(asked) == difficulty + (difficulty > 1) + 2 * (difficulty > 2)
        assert steps[-1].action.endswith(f'{{"value": {problem.answer}}}}}\n</tool_call>')
        order = [part.split() for part in problem.prompt.partition(".")[0].split(", ")]
        singular = {f"{name}s": name for name in world["products"]}
        goods = sum(
            int(count) * world["products"][singular.get(name, name)]["price"]
            for count, name in order
        )
        if difficulty > 1:
            customer = world["customers"][
                problem.prompt.partition("Customer: ")[2].partition(".")[0]
            ]
            goods = goods * (100 - customer["discount"]) / 100
        if difficulty > 2:
            goods += world["cities"][customer["city"]]["shipping"]
        assert goods == int(problem.answer)


def test_each_call_has_a_reward_and_the_answer_a_verdict() -> None:
    env = srl_env.make("srl/ToolShop-v0", difficulty=1)
    env.reset(seed=3, options={"reward_mode": "srl"})
    expert = env.unwrapped.problem.trajectories[0].actions
    product = env.unwrapped.format.read(expert[0]).arguments["key"]
    other = "lamp" if product != "lamp" else "chair"
    _, reward, _, _, info = env.step(expert[0].replace(f'"{product}"', f'"{other}"'))
    assert 0.2 + 0.8 * 2 / 3 <= reward < 1.0
    assert info["legal"] is False

    env.reset(seed=3, options={"reward_mode": "rlvr"})
    observation, reward, *_ = env.step("how much?")
    assert "error: there is no call" in observation
    for action in expert:
        _, reward, terminated, _, info = env.step(action)
    assert (reward, terminated, info["verdict"]["correct"]) == (1.0, True, True)


def test_the_order_does_not_show_what_must_be_looked_up() -> None:
    problem = ToolShopSource(3)[5]
    for table in problem.metadata["world"].values():
        for row in table.values():
            assert not any(str(value) in problem.prompt for value in row.values() if value != 5)
