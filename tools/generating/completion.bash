# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

_microvm_vms() { # default of the state directory, file of settings with the host's; prints the MicroVMs in it
    local directory index path
    directory=$(sed -n 's/^ *"state_dir": "\(.*\)".*/\1/p' "$2" 2>/dev/null)
    directory=${directory:-$1}
    for ((index = 1; index < ${#COMP_WORDS[@]} - 1; index++)); do
        if [ "${COMP_WORDS[index]}" = --state-dir ]; then directory=${COMP_WORDS[index + 1]}; fi
    done
    for path in "$directory"/*/; do
        if [ -d "$path" ]; then path=${path%/} && echo "${path##*/}"; fi
    done
}

_microvm() { # calls _microvm_offers, which is written from the parser
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local options='' operands='' directory='' settings='' line
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then command=; fi
    _microvm_offers "$command" "$previous"
    case $current:$operands in
        -*) ;;
        *:vms) options=$(_microvm_vms "$directory" "$settings") ;;
        *:files)
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
            return
            ;;
    esac
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$options" -- "$current")
}

complete -o filenames -F _microvm microvm
