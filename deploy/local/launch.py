"""Runs one command so that it cannot outlive the process that starts it.

A script of its own, not a `preexec_fn`: code between fork and exec is unsafe in
a process with threads, and the supervisor has those of gRPC. It becomes the
command by `exec`, so the process ID the parent knows is the command's.

On Linux the kernel signals the command when its parent dies
(`PR_SET_PDEATHSIG`). The setting is lost when a process changes its user, so the
user is changed first. On other systems a small second process watches the parent and
signals the command. The promise is weaker there: that process can itself be
killed, and it sees the parent's death only once the parent has been reaped.

Imports nothing of the project, so that it starts in milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time

# From <linux/prctl.h>; Python has no name for it.
PR_SET_PDEATHSIG = 1
# How late the watching process may notice that the parent died.
WATCH_INTERVAL_SECONDS = 0.25


def parse_arguments() -> argparse.Namespace:
    """The options of the launch, and the command with its arguments in `command`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="process ID of the starter")
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--watch", action="store_true", help="watch even where the kernel can")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def become_user(uid: int, gid: int) -> None:
    """Gives up root for good, supplementary groups included."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def ask_kernel_for_death_signal(death_signal: int) -> None:
    """Linux: has the kernel send `death_signal` to this process when its parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def fork_watcher(parent: int, death_signal: int) -> None:
    """Leaves a child behind that signals this process once `parent` is gone."""
    command = os.getpid()
    if os.fork() != 0:
        return
    os.setsid()
    while os.getppid() == command:
        if not is_alive(parent):
            os.kill(command, death_signal)
            break
        time.sleep(WATCH_INTERVAL_SECONDS)
    os._exit(0)


def is_alive(process_id: int) -> bool:
    """Whether a process of this ID exists, whoever owns it."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> None:
    """Binds this process to its parent, then becomes the command."""
    options = parse_arguments()
    watch = options.watch or sys.platform != "linux"
    if watch:
        fork_watcher(options.parent, options.death_signal)
    if options.uid is not None:
        become_user(options.uid, options.gid)
    if not watch:
        ask_kernel_for_death_signal(options.death_signal)
    # The parent may have died before it was being watched.
    if os.getppid() != options.parent:
        sys.exit("the process that asked for this command is gone")
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()
