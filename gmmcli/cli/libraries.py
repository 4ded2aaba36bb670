"""Load libraries, and set what they read from the environment when they load."""

import os
import resource
import sys
from importlib import import_module
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# Enough to include the line of flags; the kernel needs long to produce the whole file.
_HEAD_BYTES = 8192


def load_job(verb: str) -> None:
    """Import the job of a verb, and its libraries."""
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


def prepare_arrow() -> None:
    """Set the system's allocator if the address space is limited, unless the user has set one.

    Arrow's default allocator reserves a GiB of addresses at once, which counts although it is not used.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def processor_flags() -> set[str]:
    """Return the features of the processor as Linux lists them; an empty set on other systems."""
    try:
        with CPUINFO.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return set()
    flags = next((line for line in head.splitlines() if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())
