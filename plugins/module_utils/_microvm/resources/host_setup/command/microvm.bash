# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Written by `make generate` from the parser. For bash; in zsh after `autoload -U bashcompinit && bashcompinit`.

_microvm_offers() { # command or nothing, word before the current one; sets options, operands, places
    directory=/var/lib/microvms settings=/etc/microvm-fleet/host.json
    case $1 in
        '') options='list info logs start stop restart create update rebuild apply generations rollback console ssh
            forward switch balloon run remove gc render validate --help' ;;
        list) options='--help --state-dir --tag --evaluate --json' operands=vms ;;
        info) options='--help --state-dir --json' operands=vms ;;
        logs) options='--help --state-dir --follow --lines' operands=vms ;;
        start) options='--help --state-dir --no-wait' operands=vms ;;
        stop) options='--help --state-dir --no-wait' operands=vms ;;
        restart) options='--help --state-dir --no-wait' operands=vms ;;
        create) options='--help --state-dir --file --package --flake --attribute --check --diff' operands= ;;
        update) options='--help --state-dir --restart --file --package --flake --attribute --check --diff' operands=vms ;;
        rebuild) options='--help --state-dir --flake --attribute --action --check --diff' operands=vms ;;
        apply) options='--help --state-dir --diff --parallel --check' operands=files ;;
        generations) options='--help --state-dir --good --bad --check --json' operands=vms ;;
        rollback) options='--help --state-dir --keep --check --diff --no-wait' operands=vms ;;
        console) options='--help --state-dir --linger' operands=vms ;;
        ssh) options='--help --state-dir --password --login' operands=vms ;;
        forward) options='--help --state-dir' operands=vms ;;
        switch) options='--help --state-dir --check' operands=vms ;;
        balloon) options='--help --state-dir' operands=vms ;;
        run) options='--help --state-dir' operands=vms ;;
        remove) options='--help --state-dir --volumes --confirm --yes --check' operands=vms ;;
        gc) options='--help --state-dir --verify --check' operands= ;;
        render) options='--help --name --hypervisor --output --json --platform' operands=files ;;
        validate) options='--help --platform' operands=files ;;
        -u | -r | -s) operands=vms ;;
    esac
    case $1:$2 in
        list:--state-dir) options='' operands=files ;;
        list:--tag) options='' operands=none ;;
        info:--state-dir) options='' operands=files ;;
        logs:--state-dir) options='' operands=files ;;
        logs:-n | logs:--lines) options='' operands=none ;;
        start:--state-dir) options='' operands=files ;;
        stop:--state-dir) options='' operands=files ;;
        restart:--state-dir) options='' operands=files ;;
        create:--state-dir) options='' operands=files ;;
        create:--file) options='' operands=files ;;
        create:--package) options='' operands=files ;;
        create:-f | create:--flake) options='' operands=none ;;
        create:--attribute) options='' operands=none ;;
        update:--state-dir) options='' operands=files ;;
        update:--file) options='' operands=files ;;
        update:--package) options='' operands=files ;;
        update:-f | update:--flake) options='' operands=none ;;
        update:--attribute) options='' operands=none ;;
        rebuild:--state-dir) options='' operands=files ;;
        rebuild:-f | rebuild:--flake) options='' operands=none ;;
        rebuild:--attribute) options='' operands=none ;;
        rebuild:--action) options='switch test boot dry-activate' operands=none ;;
        apply:--state-dir) options='' operands=files ;;
        apply:--parallel) options='' operands=none ;;
        generations:--state-dir) options='' operands=files ;;
        generations:--good) options='' operands=none ;;
        generations:--bad) options='' operands=none ;;
        rollback:--state-dir) options='' operands=files ;;
        console:--state-dir) options='' operands=files ;;
        console:--linger) options='' operands=none ;;
        ssh:--state-dir) options='' operands=files ;;
        ssh:-l | ssh:--login) options='' operands=none ;;
        forward:--state-dir) options='' operands=files ;;
        switch:--state-dir) options='' operands=files ;;
        balloon:--state-dir) options='' operands=files ;;
        run:--state-dir) options='' operands=files ;;
        remove:--state-dir) options='' operands=files ;;
        remove:--volumes) options='keep archive delete' operands=none ;;
        remove:--confirm) options='' operands=none ;;
        gc:--state-dir) options='' operands=files ;;
        render:--name) options='' operands=none ;;
        render:--hypervisor) options='qemu cloud-hypervisor firecracker crosvm kvmtool stratovirt alioth vfkit' operands=none ;;
        render:--output) options='' operands=files ;;
        render:--platform) options='x86_64-linux aarch64-linux aarch64-darwin' operands=none ;;
        validate:--platform) options='x86_64-linux aarch64-linux aarch64-darwin' operands=none ;;
    esac
}

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
