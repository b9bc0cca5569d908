# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# nft does not say when it has begun to listen; from then on it reports a table, or a chain, that is made for this.
await_reports() { # descriptor, name
    local report=''
    until [[ "$report" = *" $2" ]]; do
        nft "add table inet $2; add chain inet $2 $2; delete table inet $2"
        read -r -t 0.5 report <&"$1" || [ $? -gt 128 ]
    done
}
