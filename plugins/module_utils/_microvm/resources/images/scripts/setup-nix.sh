# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
#
# Run as `sh setup-nix ROOT` for an image with Nix, after `setup`.

set -eu
root=$1

# Everything of a store that a guest mounts is there before sockets and services; tmpfiles.d makes directories in it.
cat > "$root/usr/lib/systemd/system/microvm-nix-store.service" <<'END'
[Unit]
Description=Mount the host's store of Nix
DefaultDependencies=no
After=local-fs.target
Before=systemd-tmpfiles-setup.service nix-daemon.socket sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/microvm-fleet/mount-nix-store
[Install]
WantedBy=sysinit.target
END
install -m 0755 "${0%/*}/mount-nix-store" "$root/usr/lib/microvm-fleet"
mkdir -p "$root/nix/store" "$root/nix/var/nix"
echo "experimental-features = nix-command flakes" >> "$root/etc/nix/nix.conf"
chroot "$root" systemctl --quiet enable microvm-nix-store.service nix-daemon.socket
