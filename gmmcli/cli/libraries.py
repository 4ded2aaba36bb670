"""What libraries have to be told before they are loaded: later they do not listen."""

import os
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# As far as the line of flags reaches, with room to spare; the rest of the file takes the kernel long to make.
_HEAD_BYTES = 8192


def prepare() -> None:
    """Tell them all."""
    prepare_openblas()
    sys.meta_path.insert(0, WithoutPandas())


class WithoutPandas:
    """Answers that pandas is not there: pyarrow would load it to ask whether an array is one of its own."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse pandas, and leave everything else to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def prepare_openblas() -> None:
    """Ask for one thread, and for the AVX-512 kernel where the processor has one, unless the user has spoken.

    OpenBLAS knows processors by their model number, and takes newer ones for AVX2; its kernel for AVX-512 is
    the one named SkylakeX. Threads of its own would only spin beside our workers.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "OPENBLAS_CORETYPE" not in os.environ and processor_flags() >= AVX512:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"


def processor_flags() -> set[str]:
    """Return the features of the processor as Linux lists them; none where it does not."""
    try:
        with CPUINFO.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return set()
    flags = next((line for line in head.splitlines() if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())
