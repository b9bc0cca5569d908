# shellcheck shell=sh
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs in a guest, as: SYSTEM ACTIVATION ACTION PROFILE. Standard input is a registration for the guest's Nix.
set -eu
system=$1 activation=$2 action=$3 profile=$4
PATH=$PATH:$system/sw/bin:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
if command -v nix-store >/dev/null; then
    nix-store --load-db
    [ -z "$profile" ] || nix-env --profile /nix/var/nix/profiles/system --set "$system"
fi
# A unit of the guest's systemd goes on if the connection ends, as it may with the guest's own network.
if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
    set -- systemd-run --quiet --collect --wait --pipe --unit=microvm-switch --service-type=exec "--setenv=PATH=$PATH"
else
    set --
fi
exec "$@" "$activation" "$action" </dev/null
