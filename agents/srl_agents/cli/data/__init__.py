"""``srl-env data``: data looked at, checked, and brought into one form."""

import typer

from srl_agents.cli.data.convert import app as convert_verb
from srl_agents.cli.data.inspect import app as inspect_verb
from srl_agents.cli.data.lint import app as lint_verb

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Expert data looked at, checked, and converted.\n\n"
    "Any form is read: GSM8K rows, numbered solutions (s1K), lists of steps, our own JSON lines,"
    " SWE-agent and SWE-smith trajectories, SWE-bench instances, ATIF trajectories, and raw"
    " solutions, which a splitter makes into steps. Files may be JSON lines, JSON, CSV, TSV, XLSX,"
    " Parquet, .traj, and folders of them; the form is found out from the first rows.",
    epilog="[bold]srl-env data inspect train.jsonl[/]  what is in it, and how it is understood\n\n"
    "[bold]srl-env data lint train.jsonl test.jsonl[/]  what is wrong with it\n\n"
    "[bold]srl-env data convert raw.parquet -o data --splitter sentences[/]  a folder with a card",
)
for _verb in (inspect_verb, lint_verb, convert_verb):
    app.add_typer(_verb)
