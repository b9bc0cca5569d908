#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Waits until a guest says over its vsock that it is up. Usage: microvm-notify NAME

set -eu

# A part of the command, which is an archive of Python. Python also looks in the directory that it starts in.
export PYTHONPATH=@COMMAND@ PYTHONDONTWRITEBYTECODE=1
cd /
exec python3 -m _microvm.host.notification_relay @STATE_DIRECTORY@/"$1"
