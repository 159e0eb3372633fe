from __future__ import annotations

import json
import pickle
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srl_env.problem import ExpertStep
from srl_env.swe import CallError, ToolCall, ToolCalls, parse_call
from srl_env.text.format import CompletionFormat
from srl_env.text.tool_calls import EDITOR, EDITOR_COMMANDS, TOOLS, call_from_json, parse_command

LS = ToolCall("bash", {"command": "ls -la"})
LS_TEXT = "<function=bash>\n<parameter=command>ls -la</parameter>\n</function>"
VIEW = ToolCall(EDITOR, {"command": "view", "path": "a.py", "view_range": (1, 9)})
TOOL = '{"name": "bash", "arguments": {"command": "ls -la"}}'
OPENAI = {
    "id": "1",
    "type": "function",
    "function": {"name": "bash", "arguments": '{"command": "ls -la"}'},
}


def editor(**arguments: str | int | tuple[int, int]) -> ToolCall:
    return ToolCall(EDITOR, arguments)


# -- other agents' names --

SENTINEL = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("THOUGHT: I look.\n\n```mswea_bash_command\nls -la\n```", LS),
        (f"```mswea_bash_command\n{SENTINEL}\n```", ToolCall("submit", {})),
        (f"```bash\n{SENTINEL} && git add -A && git diff --cached\n```", ToolCall("submit", {})),
        (
            json.dumps({"name": "bash", "arguments": {"command": SENTINEL}}),
            ToolCall("submit", {}),
        ),
        (
            "<function=str_replace_based_edit_tool>\n<parameter=command>view</parameter>\n"
            "<parameter=path>a.py</parameter>\n<parameter=view_range>[1, 9]</parameter>\n"
            "</function>",
            VIEW,
        ),
        (
            json.dumps(
                {
                    "name": "str_replace_based_edit_tool",
                    "arguments": {
                        "command": "insert",
                        "path": "a.py",
                        "insert_line": 3,
                        "insert_text": "x = 1",
                    },
                }
            ),
            editor(command="insert", path="a.py", insert_line=3, new_str="x = 1"),
        ),
    ],
)
def test_what_other_agents_write_is_the_same_call(text: str, call: ToolCall) -> None:
    assert parse_call(text) == call
    assert parse_call(call.render()) == call


def test_only_a_command_that_begins_with_the_words_of_submission_submits() -> None:
    for command in (f"grep '{SENTINEL}' a.md", f"{SENTINEL}_2", f"cat a && {SENTINEL}"):
        assert parse_call(f"```\n{command}\n```").tool == "bash"
    assert ToolCall("bash", {"command": SENTINEL}) == ToolCall("submit", {})


# -- the three forms --


@pytest.mark.parametrize(
    "text",
    [
        LS_TEXT,
        "<function=bash>\n<parameter=command>\nls -la\n</parameter>\n</function>",
        "<function=bash><parameter=command>ls -la</parameter></function>",
        f"Let me look. I know `<parameter=x>`.\n\n{LS_TEXT}\n",
        f"Let me look: {LS_TEXT}",
        f"```python\nx = 1\n```\nNow:\n{LS_TEXT}",
        f"```xml\n{LS_TEXT}\n```",
        f"<tool_call>\n{LS_TEXT}\n</tool_call>",
        "```\nls -la\n```",
        "I look.\n```bash\nls -la\n```\n",
        f"```json\n{TOOL}\n```",
        TOOL,
        f"I look.\n{TOOL}",
        f"I look.\n<tool_call>\n{TOOL}\n</tool_call>",
        json.dumps(OPENAI),
        json.dumps([OPENAI]),
        json.dumps({"role": "assistant", "tool_calls": [OPENAI]}),
    ],
)
def test_a_call_is_read_in_every_form(text: str) -> None:
    assert parse_call(text) == LS


def test_a_call_is_written_in_the_xml_form() -> None:
    assert LS.render() == LS_TEXT
    assert ToolCall("submit", {}).render() == "<function=submit>\n</function>"
    assert VIEW.render().splitlines()[1:4] == [
        "<parameter=command>view</parameter>",
        "<parameter=path>a.py</parameter>",
        "<parameter=view_range>[1, 9]</parameter>",
    ]
    edit = editor(command="str_replace", path="a", old_str="  x", new_str="")
    assert edit.render() == (
        f"<function={EDITOR}>\n<parameter=command>str_replace</parameter>\n"
        "<parameter=path>a</parameter>\n<parameter=old_str>\n  x\n</parameter>\n"
        "<parameter=new_str>\n\n</parameter>\n</function>"
    )


def test_a_value_with_the_forms_own_tags_is_written_as_json_without_them() -> None:
    call = editor(command="create", path="p.md", file_text="a </function> b\n")
    assert "</function>" not in call.render()
    assert parse_call(call.render()) == call


TEXTS = st.text(st.sampled_from("ab \n\t\r\"'`\\<>/é\ud800{}[],="), max_size=30) | st.sampled_from(
    ["</parameter>", "<parameter=path>x", "</function>\n", "```\nls\n```", "<think>", "\n\n"]
)
LINES = TEXTS.map(lambda text: f"x{text}y")
CALLS = st.one_of(
    st.builds(lambda c: ToolCall("bash", {"command": c}), LINES),
    st.builds(lambda p, t: editor(command="create", path=p, file_text=t), LINES, TEXTS),
    st.builds(
        lambda o, n: editor(command="str_replace", path="a", old_str=o, new_str=n), TEXTS, TEXTS
    ),
    st.builds(
        lambda i, n: editor(command="insert", path="a", insert_line=i, new_str=n),
        st.integers(-1, 99),
        TEXTS,
    ),
    st.just(ToolCall("submit", {})),
)


@given(CALLS)
@settings(deadline=None)
def test_what_is_written_is_read_as_the_same_call(call: ToolCall) -> None:
    assert parse_call(call.render()) == call
    parsed = ToolCalls().parse(ToolCalls().render(ExpertStep(call.render(), thought="so")))
    assert (parsed.ok, parsed.thought, parsed.action) == (True, "so", call.render())


@given(st.text(st.sampled_from("a<>=/`{}[]\"'\n ") | st.characters(), max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_without_a_crash(text: str) -> None:
    for piece in (
        text,
        f"<function=bash>{text}",
        f"```\n{EDITOR} {text}\n```",
        f'{{"name": {text}',
    ):
        parsed = ToolCalls().parse(piece)
        assert parsed.ok == (parsed.problem_found is None)
        if parsed.ok:
            assert parse_call(parsed.action).render() == parsed.action


# -- typed commands --


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("submit", ToolCall("submit", {})),
        (f"{EDITOR} view a.py --view_range 1 9", VIEW),
        (f"{EDITOR} view a.py --view_range '[1, 9]'", VIEW),
        (f"{EDITOR} view --path=a.py --view_range=1,9", VIEW),
        (
            f"{EDITOR} str_replace /t/a.py --old_str 'it'\"'\"'s\n  so'"
            r""" --new_str "a \"b\" \\ \n" """,
            editor(
                command="str_replace", path="/t/a.py", old_str="it's\n  so", new_str='a "b" \\ \\n'
            ),
        ),
        (f"cd a && {EDITOR} view b", ToolCall("bash", {"command": f"cd a && {EDITOR} view b"})),
        ("python - <<'E'\nx\nE\n", ToolCall("bash", {"command": "python - <<'E'\nx\nE"})),
    ],
)
def test_a_typed_command_is_the_call_it_makes(command: str, call: ToolCall) -> None:
    assert parse_command(command) == call
    assert parse_call(f"```\n{command}\n```") == call


# -- what a call must hold --


def test_arguments_are_put_in_order_and_unneeded_ones_are_left_out() -> None:
    call = ToolCall(
        EDITOR, {"old_str": "x", "path": " a.py\n", "command": "view", "view_range": None}
    )
    assert list(call.arguments.items()) == [("command", "view"), ("path", "a.py")]
    assert editor(command="view", path="a", view_range="[3, -1]").arguments["view_range"] == (3, -1)
    assert (
        editor(command="insert", path="a", insert_line="7", new_str="").arguments["insert_line"]
        == 7
    )
    assert pickle.loads(pickle.dumps(call)) == call


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "It is empty. End the turn with exactly one call, e.g.\n<function=bash>"),
        ("I am done.", "There is no call in it"),
        (f"{LS_TEXT}\n{LS_TEXT}", "There is more than one call. Write exactly one"),
        (f"{LS_TEXT}{LS_TEXT}", "There is more than one call. Write exactly one"),
        (f"{LS_TEXT}\nOBSERVATION: a.py", "nothing after it; found 'OBSERVATION: a.py'"),
        ("<function=bash>\n<parameter=command>ls</parameter>", "End it with </function>"),
        ("<function=bash>\n<parameter=command>ls</function>", "'command' is never closed. End it"),
        ("<function=bash>\nls\n</function>", "stand only parameters.*found 'ls'"),
        ("<function=>\n</function>", "A call begins with <function=NAME>"),
        (
            "<function=bash>\n</function>",
            "bash needs the parameter 'command'. Add <parameter=command>",
        ),
        (
            "<function=cat>\n</function>",
            "There is no tool 'cat'. The tools are bash, str_replace_editor",
        ),
        (LS_TEXT.replace("command", "cmd"), "bash has no parameter 'cmd'; it takes command"),
        (LS_TEXT.replace("ls -la", " "), "The parameter 'command' is empty"),
        (
            "<function=submit>\n<parameter=a>b</parameter>\n</function>",
            "submit has no parameter 'a'; it takes no",
        ),
        (
            f"<function={EDITOR}>\n<parameter=command>open</parameter>\n</function>",
            "has no command 'open'. Its commands are view",
        ),
        (
            f"<function={EDITOR}>\n<parameter=command>view</parameter>\n</function>",
            f"{EDITOR} view needs the parameter 'path'",
        ),
        (
            "<function=bash>\n<parameter=command>a</parameter>\n<parameter=command>b</parameter>\n</function>",
            "'command' is there twice",
        ),
        ("```\nls", "The block is never closed"),
        ("```\nls\n```\nand\n```\nls\n```", "more than one fenced block"),
        ("```python\nx = 1\n```", "this one is marked 'python'"),
        (f"```\n{EDITOR} view 'a.py\n```", "A quote in the command is never closed"),
        (f"```\n{EDITOR} view a.py 1 50\n```", "'1' is not a parameter of it"),
        (
            '{"name": "bash", "arguments": {"command": "ls"}',
            "The call is not valid JSON: Expecting ',' delimiter at",
        ),
        ('{"command": "ls"}', 'there is no "name" in it'),
        ('{"name": "bash", "arguments": "ls"}', '"arguments" is a text that is not a JSON'),
        ('{"name": "bash", "arguments": ["ls"]}', '"arguments" is an object'),
        ('{"name": "bash", "arguments": {"command": 5}}', "'command' is a text; got '5'"),
        (json.dumps([OPENAI, OPENAI]), "There are 2 calls"),
        (f"<tool_call>{TOOL}", "End it with </tool_call>"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong_and_what_to_write(text: str, message: str) -> None:
    with pytest.raises(CallError, match=message):
        parse_call(text)
    parsed = ToolCalls().parse(text)
    assert (parsed.ok, parsed.action) in [(False, text), (False, text.strip())]
    with pytest.raises(CallError, match=message):
        parse_call(parsed.action)


@pytest.mark.parametrize(
    "view_range", ["1", "[1]", "1 2 3", "a b", (1, 2, 3), (True, 2), 10**30, "1" * 99]
)
def test_a_view_range_is_two_line_numbers(view_range: str) -> None:
    with pytest.raises(CallError, match="view_range"):
        editor(command="view", path="a", view_range=view_range)


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


_EXTREME = (
    *("null", "true", "-1", "1.5", "1e999", "-1e999", "NaN", "Infinity", "9" * 5_000, '""', "[]"),
    *("{}", '[{"a": null}]', _nested(5), _nested(900), _nested(100_000), '"\\ud800"', "[1, 2, 3]"),
    *(
        '{"\\ud800": "\\udfff"}',
        '"' + "x" * 1_000_000 + '"',
        '"\\u0000"',
        "[" + "0," * 9_999 + "0]",
    ),
)


@pytest.mark.parametrize("number", range(len(_EXTREME)))
def test_json_of_any_shape_is_a_call_in_valid_unicode_or_a_call_error(number: int) -> None:
    value = _EXTREME[number]
    arguments = [
        f'{{"command": {value}}}',
        *(
            f'{{"command": "{command}", "path": "a", "{name}": {value}}}'
            for command, (needed, optional) in EDITOR_COMMANDS.items()
            for name in (*needed, *optional, "other")
        ),
    ]
    calls = [f'{{"name": {json.dumps(tool)}, "arguments": {value}}}' for tool in TOOLS]
    calls += [f'{{"name": "{EDITOR}", "arguments": {given}}}' for given in arguments]
    calls += [
        f'{{"name": "{key}", "{key}": {value}}}' for key in ("name", "function", "tool_calls")
    ]
    for text in (value, f"[{value}]", f'{{"{value[:9]}": 1}}', *calls):
        try:
            rendered = parse_call(text).render()
        except CallError as error:
            rendered = str(error)
            assert len(rendered) < 500
        rendered.encode()
        ToolCalls().parse(text)


def test_json_that_holds_no_call_is_told_so() -> None:
    with pytest.raises(CallError, match="There are 0 calls"):
        call_from_json({"tool_calls": []})
    with pytest.raises(CallError, match="no tool 'view'"):
        call_from_json({"name": "view"})


# -- the completion format --


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        (LS_TEXT, None),
        (f"<think>hm</think>{LS_TEXT}", "hm"),
        (f"<think>\nhm\n</think>\nI look.\n{LS_TEXT}", "hm\nI look."),
        (f"hm</think>\n{LS_TEXT}", "hm"),
        (f"I look.\n\n{LS_TEXT}", "I look."),
        (f"I look.\n<tool_call>\n{LS_TEXT}\n</tool_call>", "I look."),
        ("<think>run `<function=bash>`?</think>\n```\nls -la\n```", "run `<function=bash>`?"),
    ],
)
def test_prose_and_thinking_are_the_thought_and_the_call_alone_the_action(
    text: str, thought: str | None
) -> None:
    parsed = ToolCalls().parse(text)
    assert (parsed.thought, parsed.action, parsed.ok) == (thought, LS_TEXT, True)


def test_thinking_never_enters_an_action() -> None:
    assert ToolCalls().parse("<think>secret <function=bash>").action == ""
    assert "never closed" in str(ToolCalls().parse("<think>secret").problem_found)
    assert ToolCalls().parse("<think>secret</think>I am done.").action == "I am done."
    wrong = "<function=bash>\n</function>"
    assert ToolCalls().parse(f"<think>secret</think>Some prose.\n{wrong}").action == wrong


def test_a_closing_think_tag_in_a_call_belongs_to_the_call() -> None:
    call = editor(command="create", path="a.html", file_text="<think></think>\n")
    assert ToolCalls().parse(call.render()).action == call.render()


def test_a_thought_can_be_required() -> None:
    strict = ToolCalls(require_thought=True)
    assert not strict.parse(LS_TEXT).ok
    assert strict.parse(strict.render(ExpertStep(LS_TEXT))).ok
    assert strict.parse(f"I look.\n{LS_TEXT}").ok


def test_the_format_stops_at_the_closing_tag_and_tells_of_the_tools() -> None:
    form: CompletionFormat = ToolCalls()
    assert form.stop == ("</function>",)
    for word in (
        "bash(command)",
        "view",
        "create",
        "str_replace",
        "insert",
        "undo_edit",
        "submit()",
    ):
        assert word in form.instructions


# -- hostile texts --

MILLION = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "<function=" * (MILLION // 10),
        "<function=bash>" + "<parameter=command>" * (MILLION // 19) + "</function>",
        "<function=bash><parameter=command>" + "</parameter> " * (MILLION // 13) + "</function>",
        "<function=bash><parameter=command></parameter>" + " " * MILLION + "x</function>",
        "<function=bash>" + "<parameter=a>b</parameter>" * (MILLION // 26) + "</function>",
        "```\n" * (MILLION // 4),
        f"```\n{EDITOR} view " + "'" * MILLION + "\n```",
        f"```\n{EDITOR} view " + "\\" * (MILLION + 1) + "\n```",
        f"```\n{EDITOR} view " + '"\\' * MILLION + "\n```",
        f"```\n{EDITOR} " + "a " * (MILLION // 2) + "\n```",
        '{"name": "bash", "arguments": ' + "[" * MILLION,
        '{"name": "submit", "arguments": ' + "9" * MILLION + "}",
        "</think>" * (MILLION // 8),
        "[{\n" * (MILLION // 3),
    ],
)
def test_a_megabyte_made_to_take_long_does_not(text: str) -> None:
    begin = time.process_time()
    parsed = ToolCalls().parse(text)
    assert time.process_time() - begin < 1.5
    assert not parsed.ok or len(parsed.action) > MILLION // 2
    assert len(parsed.problem_found or "") < 500
