# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
#
# A guest's answer to its host: one word in, one line back, for each connection of microvm-host.socket, by the shell that
# every image has. To root of the host and to nobody else: its context is 2, and a port below 1024 is root's.

set -u
# systemd may stop this when it does what is asked here.
trap '' TERM

answer() {
    echo "$1"
    exit 0
}

if [ "${REMOTE_ADDR:-}" != vsock:2 ] || [ "${REMOTE_PORT:-1024}" -ge 1024 ]; then
    answer "only the host's root is answered"
fi
IFS= read -r word || answer "no word"
case $word in
    poweroff) text="powering off" ;;
    reboot) text=rebooting ;;
    *) answer "unknown word" ;;
esac
systemctl --quiet --no-block --no-wall "$word" >&2 || answer failed
answer "$text"
