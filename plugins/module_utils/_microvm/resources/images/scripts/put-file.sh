# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# shellcheck disable=SC2016 # expanded by the shell in the tree
#
# Run as `sh put-file ROOT PATH MODE < CONTENT`. In the tree, since its links lead to places in it; directories that
# are there keep their modes.

set -eu
root=$1
shift
exec chroot "$root" /bin/sh -euc 'mkdir -p -- "${1%/*}/"; cat > "$1"; chmod "$2" "$1"' put-file "$@"
