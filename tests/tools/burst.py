"""What a CA sees when many certificates are due at the same moment.

`python -m tests.tools.burst [COUNT [RATE]]` enrols COUNT certificates (200) at the test
CA, lets all renewals be due at once, and prints what was seen at RATE (20) requests a
second; it fails where the rate, the order or the completeness is broken.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.integration.burst import Burst, Load, burst

COUNT: Final = 200
RATE: Final = 20.0
PATIENCE: Final = 600.0


def main(arguments: list[str]) -> int:
    """Run one burst and print its figures; return the exit status."""
    count = int(arguments[0]) if arguments else COUNT
    rate = float(arguments[1]) if len(arguments) > 1 else RATE
    load = Load(count=count, rate=rate)
    with tempfile.TemporaryDirectory() as home:
        seen = burst(Path(home), load, PATIENCE)
    broken = list(_broken(seen, load))
    rows = {
        "certificates due at once": str(seen.count),
        "renewed": str(len(seen.renewed)),
        "requests": str(seen.requests),
        "seconds": f"{seen.seconds:.1f}",
        "requests a second": f"{seen.requests / seen.seconds:.1f} (allowed {rate:g})",
        "within the busiest second": str(seen.busiest),
        "ordered together, at most": f"{seen.at_once} (allowed {load.concurrency})",
        "begun out of the order of their ends": str(seen.inversions),
    }
    for name, value in rows.items():
        print(f"{name:<38}{value}")
    for problem in broken:
        print(f"BROKEN: {problem}", file=sys.stderr)
    return bool(broken)


def _broken(seen: Burst, load: Load) -> list[str]:
    bars = {
        "not every certificate was renewed": len(seen.renewed) == load.count,
        "the order is not that of the ends": seen.begun == seen.by_end,
        "too many at once": seen.at_once <= load.concurrency,
        "too fast": seen.seconds >= (seen.requests - load.rate) / load.rate - 1,
    }
    return [problem for problem, kept in bars.items() if not kept]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
