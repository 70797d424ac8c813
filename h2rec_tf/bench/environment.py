"""What a result depends on beside configuration and data: versions, machine, load, memory."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import resource
import sys
from typing import Any

_PACKAGES = ("h2rec-tf", "numpy", "scipy", "scikit-learn", "tensorflow", "tf-keras", "tensorflow-recommenders")


def describe() -> dict[str, Any]:
    """Versions, processor, cores and memory of this machine."""
    return {
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def load_average() -> float:
    """Processes that ran or waited, mean over the last minute; this process is one of them."""
    return round(os.getloadavg()[0], 2)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (1e6 bytes)."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        # Not `getrusage`: after fork and exec that still remembers the parent's size.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def _processor() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
