# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the parser.

"""Manual page and completion of the command, as strings."""

from __future__ import annotations

MANUAL = r""".\" Copyright (c) 2026 microvm.fleet contributors
.\" SPDX-License-Identifier: GPL-3.0-or-later
.\" Written by `make generate` from the parser.
.TH MICROVM 1 "" "microvm.fleet" "User Commands"
.SH NAME
microvm \- MicroVMs on plain Linux hosts
.SH SYNOPSIS
.B microvm
.I COMMAND
.RI [ OPTION \&...]
.SH DESCRIPTION
Inspect, install and control the MicroVMs of a host.
.SH COMMANDS
.SS "list [OPTION\&...] [NAME\&...]"
List the MicroVMs of the host. The column CONDITION and the exit status show whether the MicroVMs are as they
were declared: ok (0); pending, a different package than the running one waits for a restart, or refused, the
declared package is marked bad (2); down, it should run and does not, or failed, its unit or a helper unit has
failed (3). Lines on standard error say why, and what to do. Colours are used on a terminal unless NO_COLOR is
set.
.TP
.I NAME
only these; all by default
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-tag TAG
only those with this tag
.TP
.B \-\-evaluate
evaluate the flakes that MicroVMs were built from, which takes time, and tell which MicroVMs are outdated; the
exit status is 2 where any is, and 1 where a flake does not evaluate
.TP
.B \-\-json
print all information as a JSON list
.SS "info [OPTION\&...] NAME"
Show all information about a MicroVM.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-json
print JSON
.SS "logs [OPTION\&...] NAME"
Show the journal of a MicroVM and its helper units. It includes the console of the guest, except for lines
that the rate limit of the journal drops.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-f, \-\-follow
follow the journal
.TP
.B \-n, \-\-lines N
show only the last N lines
.SS "start [OPTION\&...] NAME\&..."
Start MicroVMs. Waits until their guests are up according to the option `ready`, or until their units are
active if it is not declared.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-no\-wait
do not wait for the result
.SS "stop [OPTION\&...] NAME\&..."
Shut guests down and wait until they have stopped.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-no\-wait
do not wait for the result
.SS "restart [OPTION\&...] NAME\&..."
Stop and start MicroVMs. They then run their current packages.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-no\-wait
do not wait for the result
.SS "create [OPTION\&...] NEW_NAME"
Install a new MicroVM. The MicroVM is not started, unless its declaration sets a state.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-file FILE
YAML or JSON file with a declaration, a list of them, or a mapping with microvm_vms; \- is standard input
.TP
.B \-\-package DIRECTORY
directory with bin/microvm\-run; it is copied, unless it is in /nix/store
.TP
.B \-f, \-\-flake FLAKE
build the package with Nix (default of the short form \-c: git+file:///etc/nixos)
.TP
.B \-\-attribute ATTRIBUTE
attribute of the flake that is the package, also for later updates (default: the recorded one, or
nixosConfigurations.NAME.config.microvm.declaredRunner)
.TP
.B \-\-check
only show what would be done
.TP
.B \-\-diff
show differences of declarations, command lines and steps
.SS "update [OPTION\&...] NAME\&..."
Install new packages of MicroVMs. Uses the flakes that they were built from, unless another source is passed.
A running MicroVM keeps its package until it is restarted.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-R, \-\-restart
restart changed MicroVMs and start stopped ones
.TP
.B \-\-file FILE
YAML or JSON file with a declaration, a list of them, or a mapping with microvm_vms; \- is standard input
.TP
.B \-\-package DIRECTORY
directory with bin/microvm\-run; it is copied, unless it is in /nix/store
.TP
.B \-f, \-\-flake FLAKE
build the package with Nix (default of the short form \-c: git+file:///etc/nixos)
.TP
.B \-\-attribute ATTRIBUTE
attribute of the flake that is the package, also for later updates (default: the recorded one, or
nixosConfigurations.NAME.config.microvm.declaredRunner)
.TP
.B \-\-check
only show what would be done
.TP
.B \-\-diff
show differences of declarations, command lines and steps
.SS "rebuild [OPTION\&...] NAME\&..."
Build MicroVMs from their flakes, and let them run what was built. Evaluates and builds like update, and
installs a MicroVM that is not there yet if a flake is passed. A running guest that has the host's /nix/store
as a share is switched to the new system, see microvm switch; any other is restarted, and one that is down is
started. The actions boot and dry\-activate start and restart nothing.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-f, \-\-flake FLAKE
flake to build from, instead of the recorded one
.TP
.B \-\-attribute ATTRIBUTE
attribute of the flake that is the package, also for later updates (default: the recorded one, or
nixosConfigurations.NAME.config.microvm.declaredRunner)
.TP
.B \-\-action {switch,test,boot,dry\-activate}
what to do in the guest, as with nixos\-rebuild (default: switch)
.TP
.B \-\-check
only show what would be done
.TP
.B \-\-diff
show differences of declarations, command lines and steps
.SS "apply [OPTION\&...] FILE [NAME\&...]"
Bring MicroVMs to their declared state. Installs, starts, restarts, stops and removes MicroVMs like the module
microvm_vms and prints the steps. Declarations may refer to images in the file's microvm_images that have a
path, and to images that are installed on the host. The exit status is 1 if a MicroVM does not reach its
state.
.TP
.I FILE
YAML or JSON file with a declaration, a list of them, or a mapping with microvm_vms; \- is standard input
.TP
.I NAME
apply only these MicroVMs
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-diff
show differences of declarations, command lines and steps
.TP
.B \-\-parallel N
maximum number to start or stop at a time (default: 4)
.TP
.B \-\-check
only show what would be done
.SS "generations [OPTION\&...] NAME"
List the generations of a MicroVM, or mark one of them. A generation that is marked bad is neither installed
again nor selected by a rollback.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-good N
mark generation N good
.TP
.B \-\-bad N
mark generation N bad
.TP
.B \-\-check
only show what would be done
.TP
.B \-\-json
print JSON
.SS "rollback [OPTION\&...] NAME [N]"
Return to an older generation. Selects the newest older generation that is not marked bad, unless a number is
passed. Restarts a running MicroVM and waits until its guest is up. The generation that was current is marked
bad, so that the next run of Ansible does not install it again.
.TP
.I N
number of the generation; see: microvm generations
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-keep
do not mark the current generation bad
.TP
.B \-\-check
only show what would be done
.TP
.B \-\-diff
show differences of declarations, command lines and steps
.TP
.B \-\-no\-wait
do not wait for the result
.SS "console [OPTION\&...] NAME"
Attach to the serial console of a running MicroVM. Ctrl\-] detaches and leaves the MicroVM running. If standard
input is not a terminal, it is copied to the guest, and the command exits after the console has been silent
for a while.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-linger SECONDS
length of that silence (default: 1.0)
.SS "ssh [OPTION\&...] NAME [COMMAND\&...]"
Log in to a guest or run a command in it. Connects to the static address of the guest, or else to its vsock.
The host key of the guest must be the one that the host has recorded under the name of the MicroVM
(guest.host_key). Where none is recorded, ssh asks at a terminal, and connects to nothing without one. Logs in
with keys, see guest.authorized_keys and guest.host_access.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-password
let ssh ask for a password, too
.TP
.B \-l, \-\-login USER
user to log in as (default: root)
.SS "forward [OPTION\&...] NAME [PORT]"
Connect standard input and output with a port of a guest. For programs, such as ssh as its ProxyCommand.
Connects to the static address of the guest, or else to an address that it has by DHCP, or else to its vsock.
.TP
.I PORT
port in the guest (default: 22)
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.SS "switch [OPTION\&...] NAME [{switch,test,boot,dry\-activate}]"
Switch a running guest to the system of its current package. For packages of NixOS guests that have the host's
/nix/store as a share. Connects by SSH as root, like microvm ssh, compares the host name, imports the
registration of the system's paths, sets the profile of the guest's system, and runs its
switch\-to\-configuration. Where a kernel or the machine has changed too, a restart stays pending.
.TP
.I {switch,test,boot,dry\-activate}
what to do in the guest, as with nixos\-rebuild (default: switch)
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-check
only show what would be done
.SS "balloon [OPTION\&...] NAME MIB"
Set the size of the memory balloon of a running guest.
.TP
.I MIB
memory that the balloon takes from the guest
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.SS "run [OPTION\&...] NAME"
Run a MicroVM in the foreground. Runs as the MicroVM's user and with its interfaces, until the guest stops or
Ctrl\-] is pressed three times within a second. Refused while the MicroVM runs as a service.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.SS "remove [OPTION\&...] NAME\&..."
Remove MicroVMs, but not their volumes. Removes everything that was installed for the MicroVM, and nothing
else.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-volumes {keep,archive,delete}
keep volumes in place, move them to /var/lib/microvm\-fleet/archive, or delete them (default: keep)
.TP
.B \-\-confirm IMAGE
image of a volume that may be deleted; may be repeated
.TP
.B \-y, \-\-yes
do not ask for confirmation
.TP
.B \-\-check
only show what would be done
.SS "gc [OPTION\&...]"
Remove packages and images that are no longer used. Packages are used by links and by generations, images by
packages. Images that are less than an hour old are kept, and so is everything of a MicroVM that another run
is working on, or whose record is damaged.
.TP
.B \-\-state\-dir DIR
state directory of the MicroVMs (default: that of the host, see /etc/microvm\-fleet/host.json)
.TP
.B \-\-verify
compare the packages and images that stay with their digests; the exit status is 1 if any is damaged, and the
next run with the declarations replaces it
.TP
.B \-\-check
only show what would be done
.SS "render [OPTION\&...] FILE"
Render runner packages without a host. Prints the command line of each MicroVM, unless \-\-json or \-\-output is
passed. The exit status is 1 if a MicroVM is refused.
.TP
.I FILE
YAML or JSON file with a declaration, a list of them, or a mapping with microvm_vms; \- is standard input
.TP
.B \-\-name NAME
render only this MicroVM
.TP
.B \-\-hypervisor {qemu,cloud\-hypervisor,firecracker,crosvm,kvmtool,stratovirt,alioth,vfkit}
hypervisor to use instead of the declared one
.TP
.B \-\-output DIR
write the package to DIR, or to DIR/NAME for each of several MicroVMs
.TP
.B \-\-json
print command lines, files, digests and refusals as JSON
.TP
.B \-\-platform {x86_64\-linux,aarch64\-linux,aarch64\-darwin}
platform of the host (default: this host)
.SS "validate [OPTION\&...] FILE\&..."
Verify declarations. Prints the errors of each file, or of the hosts of an inventory. The exit status is 1 if
there are any.
.TP
.I FILE
YAML or JSON file with a declaration, a list of them, or a mapping with microvm_vms; \- is standard input; or
directory of an inventory, which needs ansible\-core
.TP
.B \-\-platform {x86_64\-linux,aarch64\-linux,aarch64\-darwin}
platform of the host (default: this host)
.SH SHORT FORMS
As in the handbook of microvm.nix.
.TP
.B \-l
microvm list
.TP
.B \-c NAME [\-f FLAKE]
microvm create NAME \-\-flake FLAKE; by default git+file:///etc/nixos
.TP
.B \-u [\-R] NAME\&...
microvm update [\-\-restart] NAME\&...
.TP
.B \-r NAME
microvm run NAME
.TP
.B \-s NAME
microvm ssh NAME
.SH FILES
.TP
.B /var/lib/microvms/NAME
state of a MicroVM: the links current, booted and old, its volumes
.TP
.B /var/lib/microvm\-fleet/packages
packages, by digest and name
.TP
.B /var/lib/microvm\-fleet/vms/NAME.json
what a MicroVM was given, and its generations
.TP
.B /var/lib/microvm\-fleet/known_hosts
keys of guests that root has logged in to
.TP
.B /etc/systemd/system/microvm@.service
the unit that runs a MicroVM
.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
something is wrong
.TP
.B 2
wrong usage; of list: a restart is pending
.SH ENVIRONMENT
.TP
.B NO_COLOR
if it is set and not empty, nothing is coloured
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1),
.BR ssh (1)
"""

COMPLETION = r"""# Copyright (c) 2026 microvm.fleet contributors
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
"""
