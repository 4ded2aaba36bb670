"""Run one program and say how long it took and how much memory it held.

Usage: launch.py OUTPUT COMMAND [ARGUMENT]...

The command's standard output goes to the file OUTPUT. What this script prints is one line of JSON: seconds,
CPU seconds, peak bytes, exit status. It imports next to nothing, for the peak of a child includes the pages
of the process that started it.
"""

import os
import sys
from time import perf_counter

UNIT_OF_PEAK = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Start the command, wait for it, print what it used."""
    output, *command = sys.argv[1:]
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    redirections = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, out, 1)]
    started = perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=redirections)
    _, status, usage = os.wait4(pid, 0)
    seconds = perf_counter() - started
    print(
        f'{{"seconds": {seconds}, "cpu_seconds": {usage.ru_utime + usage.ru_stime}, '
        f'"peak_bytes": {usage.ru_maxrss * UNIT_OF_PEAK}, "status": {os.waitstatus_to_exitcode(status)}}}'
    )


main()
