"""Chat templates that take tools, as models of several families have them, and tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srl_agents.models.small import character_tokenizer

LETTERS = "".join(map(chr, range(32, 127))) + "\n"
ENDS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

QWEN = r"""{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1].lstrip() }}{% else %}
{{- m.content }}{% endif %}<|im_end|>
{% elif m.role == 'assistant' %}<|im_start|>assistant
{%- if m.content %}
{{ m.content }}{% endif %}
{%- for call in m.tool_calls %}{{- '\n<tool_call>\n' -}}
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif m.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}
{{- '\n<tool_response>\n' }}
{{- m.content }}
</tool_response>
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>
{% endif %}{% endif %}{% endfor %}"""
QWEN += ENDS
"""Drops earlier thoughts; a turn ends with <|im_end|>, which is not the end of text."""

LLAMA = """\
{%- for m in messages %}
{%- if m.role == 'system' %}<|start|>system<|body|>{{ m.content }}<|eot_id|>
{%- elif m.tool_calls %}
{%- if m.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif %}
<|start|>assistant<|body|>{"name": "{{ m.tool_calls[0].function.name }}", "parameters": \
{{ m.tool_calls[0].function.arguments | tojson }}}<|eot_id|>
{%- elif m.role == 'tool' %}<|start|>ipython<|body|>{{ m.content | tojson }}<|eot_id|>
{%- else %}<|start|>{{ m.role }}<|body|>
{%- if tools and loop.index0 == (1 if messages[0].role == 'system' else 0) %}Functions:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{% endif %}{{ m.content }}<|eot_id|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant<|body|>{% endif %}"""

MISTRAL = """\
{%- if messages[0].role == 'system' %}
{%- set system = messages[0].content %}{% set loop_messages = messages[1:] %}
{%- else %}{% set loop_messages = messages %}{% endif %}
{%- set last = loop_messages | selectattr('role', 'equalto', 'user') | list | length %}
{%- set seen = namespace(users=0, role='') %}
{%- for m in loop_messages %}
{%- if m.role == seen.role %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- set seen.role = m.role %}
{%- if m.role == 'user' %}{% set seen.users = seen.users + 1 %}
{%- if tools and seen.users == 1 %}[TOOLS]{{ tools | tojson }}[/TOOLS]{% endif %}
{{- '[INST]' }}{% if system is defined and seen.users == 1 %}{{ system }}

{% endif %}{{ m.content }}[/INST]
{%- elif m.tool_calls %}[TOOL_CALLS][{% for call in m.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}, \
"id": "{{ call.id }}"}{% endfor %}]</s>
{%- elif m.role == 'tool' %}[TOOL_RESULTS]{"content": {{ m.content | tojson }}, \
"call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]
{%- else %}{{ m.content }}</s>{% endif %}{% endfor %}"""

HARMONY = """\
{%- if tools %}<|start|>developer<|message|>namespace functions
{% for tool in tools %}// {{ tool.function.description }}
type {{ tool.function.name }} = (_: {{ tool.function.parameters | tojson }}) => any;
{% endfor %}<|end|>{% endif %}
{%- for m in messages %}
{%- if m.tool_calls %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}\
<|channel|>commentary json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>
{%- elif m.role == 'tool' %}<|start|>functions.{{ m.name }} to=assistant<|channel|>commentary\
<|message|>{{ m.content | tojson }}<|end|>
{%- elif m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}\
{% if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif %}
{%- else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""

BOXES = """\
{%- for tool in tools or [] %}{{ tool | tojson }}{% endfor %}
{%- for m in messages %}
{%- if m.tool_calls %}{% set f = m.tool_calls[0].function %}<｜Assistant｜><｜tool▁calls▁begin｜>\
<｜tool▁call▁begin｜>{{ f.name + '<｜tool▁sep｜>' + f.arguments }}<｜tool▁call▁end｜>\
<｜tool▁calls▁end｜><｜end｜>
{%- elif m.role == 'tool' %}<｜tool▁output▁begin｜>{{ m.content }}<｜tool▁output▁end｜>
{%- elif m.role == 'assistant' %}<｜Assistant｜>{{ m.content }}<｜end｜>
{%- else %}<｜User｜>{{ m.content }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<｜Assistant｜>{% endif %}"""
"""Takes arguments as text."""

CODER = QWEN.replace(
    """{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
""",
    """<function={{ call.function.name }}>
{% for name, value in call.function.arguments.items() %}<parameter={{ name }}>
{{ value if value is string else value | tojson }}
</parameter>
{% endfor %}</function>
""",
)

SMOLLM2 = Path(__file__).parents[3].joinpath("examples/smollm2/tools.jinja").read_text()

SPECIAL = {
    "smollm2": (SMOLLM2, ("<|im_start|>", "<|im_end|>")),
    "qwen": (QWEN, ("<|im_start|>", "<|im_end|>")),
    "coder": (CODER, ("<|im_start|>", "<|im_end|>")),
    "llama": (LLAMA, ("<|start|>", "<|body|>", "<|eot_id|>")),
    "mistral": (MISTRAL, ("[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "</s>")),
    "boxes": (
        BOXES,
        (
            "<｜User｜>",
            "<｜Assistant｜>",
            "<｜end｜>",
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁end｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁call▁end｜>",
            "<｜tool▁sep｜>",
            "<｜tool▁output▁begin｜>",
            "<｜tool▁output▁end｜>",
        ),
    ),
    "harmony": (
        HARMONY,
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>"),
    ),
}


def tool_tokenizer(family: str, special: tuple[str, ...] = ()) -> Any:
    """A tokenizer with one token per character and the family's template and special tokens."""
    template, tokens = SPECIAL[family]
    tokenizer = character_tokenizer(LETTERS)
    tokenizer.add_tokens([*tokens, *special], special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer
