"""What figures depend on: the processor, the programs, the BLAS that each of them runs; without a date."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

from children import Worker, available_cpus


def describe(*programs: str) -> dict[str, Any]:
    """Return a description of this machine and of some programs as installed."""
    return {
        "processor": _processor(),
        "cores_used": available_cpus(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "programs": {program: _describe(program) for program in programs},
    }


def to_text(machine: dict[str, Any]) -> str:
    """Return a description as a sentence."""
    programs = []
    for name, program in machine["programs"].items():
        others = ", ".join(f"{key} {text}" for key, text in program["versions"].items() if key != name)
        with_others = f" with {others}" if others else ""
        kernel = f" on {program['kernel']}" if program.get("kernel") else ""
        programs.append(f"{name} {program['versions'][name]}{with_others}{kernel}")
    return (
        f"{machine['processor']}, {machine['cores_used']} of {machine['cores']} cores in use; "
        f"{machine['system']}, Python {machine['python']}; {'; '.join(programs)}."
    )


def _describe(program: str) -> dict[str, Any]:
    """Return the versions of a program, and the kernel of BLAS that it runs."""
    with Worker(program) as worker:
        return worker.ask("describe")


def _processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform
