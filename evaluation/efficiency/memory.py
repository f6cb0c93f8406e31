"""Peak memory of one piece of work, measured in a process of its own.

Within one process the peaks of models cannot be told apart, and memory that one of them freed hides what the next
one takes. The child builds its weights, gives freed memory back, and then runs the work once.

On Linux the peak is `VmHWM`, set back after the weights are built. `ru_maxrss`, the portable counter and the fallback
elsewhere, cannot be set back: what building the weights took for a moment hides as much of the work. (On Linux it also
starts at the size of the parent process, which is why it is not used there.)
"""

import ctypes
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .models import COMPILED, Builder, Entry, batch_for, forward
from .timing import with_threads

_KILLED = -9  # exit status of a process that the kernel ended for want of memory
_WARM = 16  # tokens of the pass that lets libraries set themselves up before anything is counted


@dataclass(frozen=True, slots=True)
class Peak:
    """Memory of a process, in bytes, and the time of the work."""

    total: int  # most that was resident during the work: Python, torch, weights and all
    before: int  # what was resident before it, weights included
    cpu_seconds: float  # CPU time of the work

    @property
    def over_weights(self) -> int:
        """What the work took beyond what was there when the weights were built."""
        return self.total - self.before


def measure_peak(work: Callable[[], object]) -> Peak:
    """Run the work once and find the peak of memory, in a process that does nothing else."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): set the peak back to what is resident now
    before, began = _resident_peak(), time.process_time()
    work()
    seconds = time.process_time() - began
    return Peak(_resident_peak(), before, seconds)


def _resident_peak() -> int:
    """Return the high-water mark of this process in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_in_child(command: Sequence[str]) -> Peak:
    """Run a command whose last line of output is a `Peak` as JSON."""
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    if done.returncode == _KILLED:
        raise OSError("the measurement of memory was killed: the machine has too little of it; take fewer rows")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(f"the measurement of memory failed with status {done.returncode}: {last}")
    return Peak(**json.loads(done.stdout.strip().splitlines()[-1]))


def print_peak(peak: Peak) -> None:
    """Write the line that `peak_in_child` reads."""
    sys.stdout.write(json.dumps(asdict(peak)) + "\n")


def encoding_peak(entry: Entry, lengths: Sequence[int], threads: int) -> Peak:
    """Measure the peak of one forward pass in a process of its own."""
    job = {"entry": asdict(entry), "lengths": list(lengths), "threads": threads}
    return peak_in_child([sys.executable, "-m", __name__, json.dumps(job)])


def _main() -> None:
    job = json.loads(sys.argv[1])
    model = Builder().build(Entry(**job["entry"]))
    with with_threads(job["threads"]):
        work = forward(model, batch_for(model.config, job["lengths"]))
        if job["entry"]["network"] == COMPILED:
            work()  # what the compiler itself takes is not what the compiled network takes
        else:
            forward(model, batch_for(model.config, [min(_WARM, *job["lengths"])]))()
        print_peak(measure_peak(work))


if __name__ == "__main__":
    _main()
