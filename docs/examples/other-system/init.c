/*
 * Copyright (c) 2026 microvm.fleet contributors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The whole system: one program, which the kernel runs from memory. It answers lines of its console, and powers off when
 * a line of the second serial line says so.
 */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    char line[256];
    ssize_t length;

    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR), control = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
    struct pollfd files[] = {{console, POLLIN, 0}, {control, POLLIN, 0}};

    dprintf(console, "version %s is up\n", VERSION);
    while (poll(files, 2, -1) >= 0) {
        if ((files[0].revents & POLLIN) && (length = read(console, line, sizeof line)) > 0)
            dprintf(console, "version %s heard %.*s", VERSION, (int)length, line);
        if ((files[1].revents & POLLIN) && (length = read(control, line, sizeof line)) > 0 &&
            strncmp(line, "poweroff", 8) == 0)
            break;
    }
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
