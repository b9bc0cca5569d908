# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that are virtual machines: with a kernel, devices, an IOMMU and a KVM of their own, under QEMU without KVM."""

from .base import SUITE, VmBase, check, ensure

__all__ = ["SUITE", "VmBase", "check", "ensure"]
