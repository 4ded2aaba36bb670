"""Load libraries, and set what they read from the environment when they load."""

import contextlib
import os
import resource
import sys
from importlib import import_module
from pathlib import Path

from gmmcli.errors import OutOfMemory

CPUINFO = Path("/proc/cpuinfo")
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# Addresses that the libraries take while they load, in MiB, and a tenth more than was measured.
NEEDED_MIB = {"fit": 288, "predict": 288, "score": 288, "export": 152, "inspect": 152}
# Of mallopt(3).
_M_ARENA_MAX = -8
# Enough to include the line of flags; the kernel needs long to produce the whole file.
_HEAD_BYTES = 8192


def load_job(verb: str) -> None:
    """Import the job of a verb, and its libraries.

    Raises
    ------
    OutOfMemory
        The address space is limited to less than the libraries need.
    """
    check_limit(verb)
    import_module(f"gmmcli.jobs.{verb}")
    if "pyarrow" in sys.modules:
        from gmmcli.tables.arrow import hide_pandas

        hide_pandas()


def prepare_openblas() -> None:
    """Set one thread and, if the processor has AVX-512, the kernel for it, unless the user has set them.

    OpenBLAS recognises processors by their model number, and uses AVX2 on newer ones. Its kernel for AVX-512
    is called SkylakeX. Its threads would compete with our workers.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "OPENBLAS_CORETYPE" not in os.environ and processor_flags() >= AVX512:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"


def check_limit(verb: str) -> None:
    """Raise `OutOfMemory` if `ulimit -v` is too low for the libraries of a verb.

    The libraries themselves would end the process, or leave a module half loaded.
    """
    limit, needed = resource.getrlimit(resource.RLIMIT_AS)[0], NEEDED_MIB.get(verb, 0) << 20
    if limit != resource.RLIM_INFINITY and limit < needed:
        fact = f"the libraries need {needed >> 20} MiB of addresses, but ulimit -v is {limit >> 20} MiB"
        raise OutOfMemory("memory", fact)


def spare_addresses() -> None:
    """Let libraries reserve few addresses if the address space is limited: reserved ones count, used or not.

    Arrow's default allocator reserves a GiB at once; the user's choice of another one stays. The C library
    reserves 64 MiB for each thread.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import ctypes  # needs a library of its own

    with contextlib.suppress(AttributeError, OSError):  # a C library without mallopt
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def processor_flags() -> set[str]:
    """Return the features of the processor as Linux lists them; an empty set on other systems."""
    try:
        with CPUINFO.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return set()
    flags = next((line for line in head.splitlines() if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())
