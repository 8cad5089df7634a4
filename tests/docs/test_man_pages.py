"""The manual pages say what the commands do: options, exit codes, variables, examples."""

from __future__ import annotations

import re
import subprocess

import click
import pytest

from dlstbx_cli.commands.base import EXIT_STATUS
from dlstbx_cli.configuration import Configuration
from dlstbx_cli.services import backlog
from dlstbx_cli.services.dispatcher import Dispatcher
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held import values
from dlstbx_cli.services.ispyb_job import IspybJobService, JobRequest
from dlstbx_cli.services.mimas import _PASSED_ALONG, MimasService
from dlstbx_cli.services.scenario import scenario_from
from dlstbx_cli.services.trace import FIELDS
from dlstbx_cli.transport.stomp.settings import PORT, TLS_PORT, settings
from tests.docs.needs import need
from tests.docs.pages import MAN, SECTIONS, TOP, Page, click_commands, squeezed, stomp_settings

COMMANDS = click_commands()
HOOKS = ("RunAtEndOfCollect", "RunAtStartOfCollect")
PAGES = sorted(MAN.glob("*.[1-8]"))
CONFIGURATION = Page(MAN / "dlstbx.5")
MESSAGE = Page(MAN / "dlstbx-message.7")
#: Pages that are not ours, but are referred to.
OTHERS = {"jq(1)", "cron(8)", "crontab(5)", "logger(1)", "systemd(1)"}


def page(name: str) -> Page:
    return Page(MAN / f"{name}.1")


def context_of(name: str) -> click.Context:
    return COMMANDS[name].make_context(name, [], resilient_parsing=True)


def test_every_command_and_hook_has_a_page_and_every_page_a_command() -> None:
    assert {path.stem for path in MAN.glob("*.1")} == {*COMMANDS, *HOOKS}


@pytest.mark.parametrize("name", [*COMMANDS, *HOOKS])
def test_sections(name: str) -> None:
    assert list(page(name).sections) == SECTIONS
    assert any(name in line.split(" - ")[0].split(", ") for line in page(name).sections["NAME"])


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_those_of_the_command(name: str) -> None:
    command = COMMANDS[name]
    context = context_of(name)
    declared = [*command.params, command.get_help_option(context)]
    options = {text for each in declared if isinstance(each, click.Option) for text in each.opts}
    described = {
        option
        for term in page(name).terms("OPTIONS")
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", term)
    }
    assert described == options
    help_text = command.get_help(context)
    assert [option for option in options if option not in help_text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_choices_and_defaults(name: str) -> None:
    text = page(name).text
    for option in COMMANDS[name].params:
        if isinstance(option.type, click.Choice):
            assert "|".join(map(str, option.type.choices)) in text
        if isinstance(option, click.Option) and option.show_default:
            default = option.default
            assert (
                f"Default: {default:g}." in text
                if isinstance(default, float)
                else (f"Default: {default}." in text)
            )


@pytest.mark.parametrize("name", COMMANDS)
def test_exit_codes_are_named(name: str) -> None:
    codes = re.findall(r"^  (\d+)", EXIT_STATUS, re.M)
    assert page(name).terms("EXIT STATUS") == codes
    assert MESSAGE.terms("EXIT STATUS") == codes


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_help_stand_in_the_page(name: str) -> None:
    text = COMMANDS[name].get_help(context_of(name))
    _, _, below = text.partition("Examples:\n")
    examples = {line.strip() for line in below.partition("\n\n")[0].splitlines()}
    assert examples
    assert examples <= {squeezed(example) for example in page(name).examples("EXAMPLES")}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_lint(path) -> None:
    need("mandoc")
    lint = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True, check=False
    )
    assert lint.stdout + lint.stderr == ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_eighty_columns_are_enough(path) -> None:
    need("mandoc")
    command = ["mandoc", "-Tutf8", "-Owidth=78", path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.sub(".\b", "", shown).splitlines()
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_of_this_version(path) -> None:
    version = re.search(r"^version = (\S+)$", (TOP / "setup.cfg").read_text(), re.M)[1]
    title = path.read_text("utf-8").splitlines()[0]
    assert f'"dlstbx\\-cli {version}"' in title


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_references_lead_somewhere(path) -> None:
    referred = set(re.findall(r"[\w.-]+\([1-8]\)", Page(path).text)) - OTHERS
    ours = {f"{each.stem}({each.suffix[1:]})" for each in PAGES}
    assert referred <= ours


def test_variables_are_those_of_the_code() -> None:
    sources = [*(TOP / "dlstbx_cli").rglob("*.py"), *map(TOP.joinpath, ("bin/RunAtEndOfCollect",))]
    used = {name for path in sources for name in _variables(path.read_text())}
    described = {name for term in CONFIGURATION.terms("ENVIRONMENT") for name in _variables(term)}
    assert described == used
    for name in (*COMMANDS, *HOOKS):
        assert set(_variables(page(name).text)) <= used


def _variables(text: str) -> list[str]:
    return re.findall(r"\bDLSTBX_[A-Z_]+\b", text)


def test_every_command_names_the_variables_of_its_options() -> None:
    of_option = {
        "broker": "DLSTBX_BROKER",
        "ispyb": "DLSTBX_ISPYB",
        "recipes": "DLSTBX_RECIPES",
        "drop_dir": "DLSTBX_DROP_DIR",
        "state": "DLSTBX_STATE",
        "rules": "DLSTBX_RULES",
        "logbook": "DLSTBX_LOGBOOK",
        "overrides": "DLSTBX_OVERRIDES",
        "record": "DLSTBX_RECORDS",
    }
    # The options --limit and --timeout together: dlstbx.go has a --timeout of its own.
    of_limits = {"DLSTBX_MAX_JOBS_WAITING", "DLSTBX_BACKLOG_TIMEOUT"}
    for name, command in COMMANDS.items():
        # dlstbx.go's "recipes" are names of recipes, not their directory.
        flags = {
            each.name for each in command.params if f"--{each.name}".replace("_", "-") in each.opts
        }
        wanted = {of_option[flag] for flag in flags & of_option.keys()}
        if "limits" in {each.name for each in command.params}:
            wanted |= of_limits
        if name == "mimas-plan":  # of its cloud offers, which no option limits
            wanted.add("DLSTBX_MAX_JOBS_WAITING")
        named = set(_variables(" ".join(page(name).terms("ENVIRONMENT")))) - {"DLSTBX_HOME"}
        assert named == wanted, name


def test_defaults_of_the_configuration() -> None:
    configuration = Configuration(environ={"DLSTBX_HOME": "/h"})
    for setting in (configuration.broker(), configuration.ispyb(), configuration.state()):
        assert setting.value.replace("////h", "///$DLSTBX_HOME") in CONFIGURATION.text
    assert str(configuration.drop_dir()).replace("/h/", "$DLSTBX_HOME/") in CONFIGURATION.text
    keys = re.findall(r'"(zocalo\.[a-z._]+)"', (TOP / "dlstbx_cli/configuration.py").read_text())
    assert keys
    assert [key for key in keys if key not in CONFIGURATION.text] == []


def test_settings_of_a_stomp_broker() -> None:
    table = next(each for each in CONFIGURATION.blocks("STOMP BROKERS") if "heartbeat" in each)
    rows = {line.split()[0]: line.split()[1] for line in table.splitlines()}
    assert rows.keys() == set(stomp_settings())
    defaults = settings("stomp+ssl://host/")
    for name in ("vhost", "topic-form", "window", "heartbeat", "timeout", "idle"):
        default = getattr(defaults, name.replace("-", "_"))
        assert rows[name] == (f"{default:g}" if isinstance(default, float) else str(default))
    assert f"The port is {PORT} unless given, and {TLS_PORT} for stomp+ssl" in CONFIGURATION.text
    assert "dlstbx.broker:" in CONFIGURATION.text


def test_the_plugins_of_the_page_can_be_used(tmp_path) -> None:
    (plugins,) = (each for each in CONFIGURATION.blocks("STOMP BROKERS") if "plugin:" in each)
    environments = "version: 1\nenvironments: {default: [broker, settings]}\n"
    plugins = plugins.replace("/etc/ssl/site.pem", str(tmp_path / "zocalo.yml"))
    (tmp_path / "zocalo.yml").write_text(environments + plugins)
    url = Configuration(environ={"ZOCALO_CONFIG": str(tmp_path / "zocalo.yml")}).broker().value
    assert url.startswith("stomp+ssl://dlstbx:secret@broker1.example.org:61613,broker2.")
    assert settings(url).vhost == "zocalo"


def test_defaults_of_the_backlog() -> None:
    slurm, iris = values.LIMITS["slurm"], values.LIMITS["iris"]
    timeout = f"{values.TIMEOUT:g}"
    assert f"slurm {slurm}, iris {iris}; {timeout} seconds" in CONFIGURATION.text
    assert f"Default: slurm={slurm}, iris={iris}" in page("backlog-release").text
    assert f"Default: {timeout}," in page("backlog-release").text
    assert f"{values.SETTLING:g} seconds later" in page("backlog-release").text


def test_fields_of_logs() -> None:
    described = _below("Logs", CONFIGURATION)
    always = ["time", "level", "command", "message"]
    assert _words(described) == {*always, *FIELDS, "queue", "place"}


def test_queues_and_topics() -> None:
    names = [Dispatcher.queue, MimasService.queue, IspybJobService.queue, backlog.Backlog.queue]
    names += backlog.Backlog.topics
    described = _below("Queues and topics")
    assert [name for name in names if name not in described] == []


def test_scenario_parameters_are_those_that_are_read() -> None:
    record = _Reads({"dcid": 1, "event": "end"})
    scenario_from(record)
    assert _words(_below("Scenarios")) == record.read | set(_PASSED_ALONG)


def test_fields_of_a_job_request_are_those_that_are_read() -> None:
    record = _Reads({"DCID": 1, "recipe": "x"})
    JobRequest.parse(record)
    assert _words(_below("Job requests")) == record.read


@pytest.mark.parametrize(
    ("field", "words"),
    [("recipe", "recipe"), ("displayname", "display name"), ("comment", "comment")],
)
def test_widths_of_a_job_request(field: str, words: str) -> None:
    with pytest.raises(Rejected) as caught:
        JobRequest.parse({"DCID": 1, "recipe": "x", field: "x" * 2000})
    (width,) = re.findall(r"ISPyB takes (\d+)", str(caught.value))
    assert re.search(rf"\b{width}\b.* characters", MESSAGE.text)
    assert f"{words} longer than {width}" in page("ispyb-create-job").text


class _Reads(dict):
    """A record that remembers which of its keys are asked for."""

    def __init__(self, content) -> None:
        super().__init__(content)
        self.read: set[str] = set()

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


def _below(heading: str, page: Page = MESSAGE) -> list[str]:
    """Return the terms explained below a subsection's heading, of dlstbx-message(7)."""
    lines = page.sections["DESCRIPTION"]
    start = lines.index(f".SS {heading}") + 1
    end = next((n for n in range(start, len(lines)) if lines[n].startswith(".SS ")), len(lines))
    return [lines[n + 1] for n in range(start, end) if lines[n] == ".TP"]


def _words(terms: list[str]) -> set[str]:
    return {word for term in terms for word in term.split(", ")}
