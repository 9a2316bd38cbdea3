"""Scripts that teach a shell to complete a command line, made by shtab from the parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping

_COMMAND = {"bash": "_spalloc_compgen_command", "zsh": "_command_names -e"}
_COMMAND_LINE = {**_COMMAND, "zsh": "_command_names -e:*:argument:_files"}

# bash-completion, where it is there, completes a command as if it stood alone.
_BASH_FUNCTIONS = """\
# $1: the word so far
_spalloc_compgen_command() {
  compgen -c -- "$1"
}

# $1: where in COMP_WORDS the command begins
_spalloc_complete_command() {
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  else
    local word="${COMP_WORDS[COMP_CWORD]}" line
    local kind=-f
    [[ $COMP_CWORD -eq $1 ]] && kind=-c
    [[ $kind = -f ]] && compopt -o filenames 2>/dev/null
    COMPREPLY=()
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen $kind -- "$word")
  fi
}
"""

# What follows the switch is another command's, whatever it looks like.
_BASH_WRAPPER = """

_spalloc_wrap{function}() {{
  local place
  for (( place = 1; place < COMP_CWORD; place++ )); do
    case "${{COMP_WORDS[place]}}" in
      {switches}) _spalloc_complete_command $(( place + 1 )); return ;;
    esac
  done
  {function}
}}

complete -o bashdefault -F _spalloc_wrap{function} {prog}"""


class NoShtabError(Exception):
    """shtab is not installed; the message says how to get it."""


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for ``bash`` or ``zsh``; raises NoShtabError."""
    try:
        import shtab
    except ImportError:
        raise NoShtabError(
            '--print-completion needs shtab: pip install "spalloc_gevent[completion]"'
        ) from None
    kinds: Mapping[object, object] = {
        "FILE": shtab.FILE,
        "FILE|WHAT": shtab.FILE,
        "DIR": shtab.DIRECTORY,
        "COMMAND": _COMMAND,
        "LINE": _COMMAND,
    }
    switches: list[str] = []
    for action in parser._actions:
        if action.nargs == argparse.SUPPRESS:
            # What parse_intermixed_args makes of positional arguments while it reads options.
            action.nargs = argparse.ZERO_OR_MORE
        kind = kinds.get(action.metavar)
        if action.nargs == argparse.REMAINDER:
            kind = _COMMAND_LINE
            switches += action.option_strings
        if kind is not None:
            vars(action)["complete"] = kind
    if shell != "bash":
        return str(shtab.complete(parser, shell))
    script = str(shtab.complete(parser, shell, preamble=_BASH_FUNCTIONS))
    if not switches:
        return script
    function = "_shtab_" + re.sub(r"\W", "_", parser.prog)
    all_switches = "|".join(switches)
    return script + _BASH_WRAPPER.format(function=function, switches=all_switches, prog=parser.prog)
