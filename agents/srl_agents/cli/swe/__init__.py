"""``srl-env swe``: software-engineering tasks built from a repository, validated, listed."""

import typer

from srl_agents.cli.swe.build import app as build_verb
from srl_agents.cli.swe.export import app as export_verb
from srl_agents.cli.swe.import_rows import app as import_verb
from srl_agents.cli.swe.install import app as install_verb
from srl_agents.cli.swe.list import app as list_verb
from srl_agents.cli.swe.mine import app as mine_verb
from srl_agents.cli.swe.validate import app as validate_verb

app = typer.Typer(
    name="swe",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Software-engineering tasks from your own repositories: build, validate, list.",
)
_VERBS = (build_verb, mine_verb, install_verb, validate_verb, list_verb, export_verb, import_verb)
for _verb in _VERBS:
    app.add_typer(_verb)
