"""``srl-env data``: inspect, check, convert and collect expert data."""

import typer

from srl_agents.cli.data.collect import app as collect_verb
from srl_agents.cli.data.convert import app as convert_verb
from srl_agents.cli.data.inspect import app as inspect_verb
from srl_agents.cli.data.lint import app as lint_verb

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Inspect, check, convert and collect expert data.\n\n"
    "Forms: GSM8K rows, numbered solutions (s1K), lists of steps, canonical JSON lines, SWE-agent"
    " and SWE-smith trajectories, SWE-bench instances, ATIF trajectories, raw solutions that a"
    " splitter turns into steps, and your own. Files: JSON lines, JSON, CSV, TSV, XLSX, Parquet,"
    " .traj, and folders of them. The form is detected from the first rows.",
    epilog="[bold]srl-env data inspect train.jsonl[/]  what is in it, and how it is read\n\n"
    "[bold]srl-env data lint train.jsonl test.jsonl[/]  mistakes in it\n\n"
    "[bold]srl-env data convert raw.parquet -o data --splitter sentences[/]  a folder with a card",
)
for _verb in (inspect_verb, lint_verb, convert_verb, collect_verb):
    app.add_typer(_verb)
