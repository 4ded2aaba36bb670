"""How libraries are loaded, and what they have to be told before: later they do not listen."""

import os
import resource
import sys
from importlib import import_module
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# As far as the line of flags reaches, with room to spare; the rest of the file takes the kernel long to make.
_HEAD_BYTES = 8192


def load_job(verb: str) -> None:
    """Load the job of a verb with its libraries, which takes longest of all that comes before it starts."""
    import_module(f"gmmcli.jobs.{verb}")
    if "pyarrow" in sys.modules:
        from gmmcli.tables.arrow import hide_pandas

        hide_pandas()


def prepare_openblas() -> None:
    """Ask for one thread, and for the AVX-512 kernel where the processor has one, unless the user has spoken.

    OpenBLAS knows processors by their model number, and takes newer ones for AVX2; its kernel for AVX-512 is
    the one named SkylakeX. Threads of its own would only spin beside our workers.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "OPENBLAS_CORETYPE" not in os.environ and processor_flags() >= AVX512:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"


def prepare_arrow() -> None:
    """Ask for the system's allocator where the address space is bounded, unless the user has spoken.

    Arrow's own reserves a GiB at once, which counts although it is not used.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def processor_flags() -> set[str]:
    """Return the features of the processor as Linux lists them; none where it does not."""
    try:
        with CPUINFO.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return set()
    flags = next((line for line in head.splitlines() if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())
