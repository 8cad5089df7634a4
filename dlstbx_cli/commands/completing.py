"""What a shell is told when somebody presses Tab: a script for each shell, and the words.

The script asks the command itself, by click's own protocol. Nothing that is asked here
loads a database or connects to a broker: Tab must not make anybody wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from dlstbx_cli.commands.base import COMPLETE

# Bash takes --event=end for three words: without the = it is like --event end.
_BASH = """\
# Completion of the commands of dlstbx-cli for bash 4.4 and later.
_dlstbx_completion() {
    local IFS=$'\\n' line kind value place words=()
    for ((place = 0; place < COMP_CWORD; place++)); do
        [[ ${COMP_WORDS[place]} == = ]] || words+=("${COMP_WORDS[place]}")
    done
    [[ ${COMP_WORDS[COMP_CWORD]} == = ]] || words+=("${COMP_WORDS[COMP_CWORD]}")
    [[ ${COMP_WORDS[COMP_CWORD]} == = ]] && words+=('')
    COMPREPLY=()
    for line in $(env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \\
        VARIABLE=bash_complete "$1" 2>/dev/null); do
        IFS=, read -r kind value <<<"$line"
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F _dlstbx_completion NAMES
"""

_ZSH = """\
#compdef NAMES
# Completion of the commands of dlstbx-cli for zsh.
_dlstbx_completion() {
    local -a plain described response
    local kind value text
    (( $+commands[$words[1]] )) || [[ -x $words[1] ]] || return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        VARIABLE=zsh_complete $words[1] 2>/dev/null)}")
    # Of --event=end the words stand for what follows the =.
    [[ $words[CURRENT] == --*=* ]] && compset -P 1 '*='
    for kind value text in $response; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $text == _ ]]; then plain+=("$value"); else described+=("$value:$text"); fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described
    (( $#plain )) && compadd -V unsorted -a plain
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _dlstbx_completion "$@"
else
    compdef _dlstbx_completion NAMES
fi
"""

_FISH = """\
# Completion of the commands of dlstbx-cli for fish.
function _dlstbx_completion
    set -l command (commandline -opc)[1]
    # Of --event=end the words stand for what follows the =.
    set -l begin (string match -r -- '^--[^=]*=' (commandline -t))
    for line in (env VARIABLE=fish_complete COMP_WORDS=(commandline -cp | string collect) \\
        COMP_CWORD=(commandline -t | string collect) $command 2>/dev/null)
        set -l word (string split -m 1 , -- $line)
        switch $word[1]
            case dir
                printf '%s\\n' "$begin"(__fish_complete_directories $word[2])
            case file
                printf '%s\\n' "$begin"(__fish_complete_path $word[2])
            case plain
                echo "$begin$word[2]"
        end
    end
end
for name in NAMES
    complete --no-files --command $name --arguments '(_dlstbx_completion)'
end
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str, names: Sequence[str]) -> str:
    """Return the script of a shell, for commands of these names."""
    return SCRIPTS[shell].replace("VARIABLE", COMPLETE).replace("NAMES", " ".join(names))


Words = Callable[[click.Context, click.Parameter, str], list[Any]]


def prepare(command: click.Command) -> None:
    """Let the options and arguments of a command say which words can stand for them.

    Only where somebody completes: it costs an import.
    """
    for parameter in command.params:
        words = _words(parameter)
        if words is not None:
            # What click takes as shell_complete when a parameter is made.
            parameter._custom_shell_complete = words


def _words(parameter: click.Parameter) -> Words | None:
    if parameter.name == "queue":
        return _queues
    if parameter.name in ("recipe", "recipes") and parameter.metavar in ("NAME", "RECIPE"):
        return _job_recipes if parameter.metavar == "NAME" else _recipes
    if parameter.metavar is None:
        return None
    kind = {"FILE": "file", "DIR": "dir"}.get(parameter.metavar.strip("[]."))
    return None if kind is None else _paths(kind)


def _paths(kind: str) -> Words:
    """Leave it to the shell, which knows files and directories."""

    def words(_context: click.Context, _parameter: click.Parameter, begin: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(begin, type=kind)]

    return words


def _queues(context: click.Context, _parameter: click.Parameter, begin: str) -> list[str]:
    from dlstbx_cli.services.message import DLQ
    from dlstbx_cli.transport.stomp.depths import OWN

    dead = [f"{DLQ}{name}" for name in OWN]
    looks = not context.command.name or context.command.name.startswith(("queue-", "dlq-"))
    return [name for name in (*OWN, *(dead if looks else ())) if name.startswith(begin)]


def _recipes(context: click.Context, _parameter: click.Parameter, begin: str) -> list[str]:
    """Return the names of the recipes that are configured."""
    from dlstbx_cli.configuration import Configuration

    # Whatever is wrong with the configuration, a Tab is no moment to say it.
    with suppress(Exception):
        environments = context.params.get("environment") or ()
        directory = Configuration(environments).recipes()
        return sorted(path.stem for path in directory.glob("*.json") if path.stem.startswith(begin))
    return []


def _job_recipes(context: click.Context, parameter: click.Parameter, begin: str) -> list[str]:
    """Return the names of processing jobs' recipes, without what their files have in front."""
    from dlstbx_cli.services.recipe import JOB_PREFIX

    found = _recipes(context, parameter, JOB_PREFIX + begin)
    return [name.removeprefix(JOB_PREFIX) for name in found]
