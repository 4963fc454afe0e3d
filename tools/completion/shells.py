#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the completions of bash, zsh and fish, from the program's own tables.

    shells.py WEIR BASH ZSH FISH

What stands in the tables (commands, options, the words that an option takes) is written down; the databases of the
configuration are asked for when a key is pressed, of the file that stands behind -c if one does.
"""

import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "man"))

from program import Program  # pylint: disable=wrong-import-position

FOLDERS, FILES = {"DIR"}, {"FILE", "PATH"}


def flags(entry):
    """How an option can be typed."""
    return ([f"-{entry['letter']}"] if entry["letter"] else []) + [f"--{entry['name']}"]


def takes_database(command):
    """Whether it can be given a database of the configuration."""
    return any(word in command["synopsis"] for word in ("SOURCE", "DB"))


def runs_program(command):
    """Whether a program stands behind its --."""
    return "-- " in command["synopsis"]


# --- bash --------------------------------------------------------------------------------------------------------------

BASH = r"""# SPDX-License-Identifier: Apache-2.0
# bash completion of weir; made by tools/completion/shells.py.

# Files or folders ($1: -f or -d) whose names begin with what is typed.
_weir_files() {
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY+=($(compgen "$1" -- "$cur"))
}

_weir() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} i file=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "@commands@ --help --version" -- "$cur"))
        return
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -c | --config) [ $((i + 1)) -ge "$COMP_CWORD" ] || file=${COMP_WORDS[i + 1]} ;;
        --) case $command in
            @runners@)
                if [ $((i + 1)) -eq "$COMP_CWORD" ]; then COMPREPLY=($(compgen -c -- "$cur")); else _weir_files -f; fi
                return ;;
            esac ;;
        esac
    done
    case $command,$prev in
@values@
    esac
    case $command,$cur in
@options@
    esac
    case $command in
    @databases@)
        local IFS=$'\n'
        COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" --databases ${file:+"${file/#\~/$HOME}"} 2>/dev/null)" -- "$cur")) ;;
    esac
    _weir_files -f
}

complete -F _weir weir
"""


def bash(program):
    """The whole script."""
    values, options = [], []
    for command in program.commands:
        name = command["command"]
        options.append(f"    {name},-*) COMPREPLY=($(compgen -W \"{' '.join(f for o in command['options'] for f in flags(o))}\" "
                       f"-- \"$cur\")); return ;;")
        for entry in command["options"]:
            if not entry["argument"]:
                continue
            what = "return"
            if program.words(entry):
                what = f"COMPREPLY=($(compgen -W \"{' '.join(program.words(entry))}\" -- \"$cur\")); return"
            elif entry["argument"] in FILES | FOLDERS:
                what = f"_weir_files -{'d' if entry['argument'] in FOLDERS else 'f'}; return"
            values.append(f"    {' | '.join(f'{name},{f}' for f in flags(entry))}) {what} ;;")
    names = [c["command"] for c in program.commands]
    filled = BASH.replace("@commands@", " ".join(names)).replace("@values@", "\n".join(values)).replace("@options@", "\n".join(options))
    filled = filled.replace("@runners@", " | ".join(c["command"] for c in program.commands if runs_program(c)) or "-")
    return filled.replace("@databases@", " | ".join(c["command"] for c in program.commands if takes_database(c)))


# --- zsh ---------------------------------------------------------------------------------------------------------------

ZSH = r"""#compdef weir
# SPDX-License-Identifier: Apache-2.0
# zsh completion of weir; made by tools/completion/shells.py.

_weir_databases() {
    local file=${opt_args[-c]:-${opt_args[--config]}}
    local -a found=(${(f)"$(_call_program databases weir --databases ${file:+${(Q)file}} 2>/dev/null)"})
    _alternative "databases:database:($found)" 'files:file:_files'
}

_weir() {
    local curcontext=$curcontext state line
    local -A opt_args
    local -a commands=(
@commands@
    )
    _arguments -C '1:command:->command' '*::argument:->argument' '(- *)--version[print the version]' '(- *)--help[show a text]' && return
    case $state in
    command) _describe command commands ;;
    argument)
        case $words[1] in
@cases@
        esac ;;
    esac
}

_weir "$@"
"""


def zsh_quote(text):
    """Within single quotes and a description."""
    return text.replace("\\", "\\\\").replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh_option(program, entry):
    """A spec of _arguments."""
    help_text = zsh_quote(" ".join(entry["help"].split()))
    action = ""
    if entry["argument"]:
        words = program.words(entry)
        action = f":{entry['argument']}:" + (f"({' '.join(words)})" if words else "_files -/" if entry["argument"] in FOLDERS
                                            else "_files" if entry["argument"] in FILES else "")
    many = "*" if entry["many"] else ""
    names = flags(entry)
    if len(names) == 1:
        return f"'{many}{names[0]}[{help_text}]{action}'"
    return f"'({' '.join(names)})'{{{','.join(names)}}}'[{help_text}]{action}'"


def zsh(program):
    """The whole function."""
    cases = []
    for command in program.commands:
        specs = [zsh_option(program, entry) for entry in command["options"]]
        if runs_program(command):
            specs.append("'(-)--[the program begins]:*::program: _normal'")
        specs.append("'*:database:_weir_databases'" if takes_database(command) else "'*:file:_files'")
        cases.append(f"        {command['command']}) _arguments -s \\\n            " + " \\\n            ".join(specs) + " ;;")
    rows = [f"        '{c['command']}:{zsh_quote(c['headline'])}'" for c in program.commands]
    return ZSH.replace("@commands@", "\n".join(rows)).replace("@cases@", "\n".join(cases))


# --- fish --------------------------------------------------------------------------------------------------------------

FISH = r"""# SPDX-License-Identifier: Apache-2.0
# fish completion of weir; made by tools/completion/shells.py.

function __weir_databases
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if contains -- $words[$i] -c --config; and test (math $i + 1) -le (count $words)
            weir --databases $words[(math $i + 1)] 2>/dev/null
            return
        end
    end
    weir --databases 2>/dev/null
end

complete -c weir -n __fish_use_subcommand -f -l help -d 'show a text'
complete -c weir -n __fish_use_subcommand -f -l version -d 'print the version'
"""


def fish_quote(text):
    """Within single quotes."""
    return "'" + " ".join(text.split()).replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish(program):
    """The whole script."""
    rows = [FISH]
    for command in program.commands:
        rows.append(f"complete -c weir -n __fish_use_subcommand -f -a {command['command']} -d {fish_quote(command['headline'])}")
    for command in program.commands:
        when = f"complete -c weir -n '__fish_seen_subcommand_from {command['command']}'"
        if takes_database(command):
            rows.append(f"{when} -a '(__weir_databases)'")
        for entry in command["options"]:
            row = f"{when} -l {entry['name']}" + (f" -s {entry['letter']}" if entry["letter"] else "")
            if entry["argument"]:
                words = program.words(entry)
                row += f" -x -a '{' '.join(words)}'" if words else " -r" if entry["argument"] in FILES | FOLDERS else " -x"
            rows.append(f"{row} -d {fish_quote(entry['help'])}")
    return "\n".join(rows) + "\n"


def main():
    weir, *targets = sys.argv[1:]
    program = Program(weir)
    for path, make in zip(targets, (bash, zsh, fish), strict=True):
        pathlib.Path(path).write_text(make(program), encoding="utf-8")


if __name__ == "__main__":
    main()
