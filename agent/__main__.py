"""Where `nfcertd` and `python -m agent` begin."""

import sys

from agent.cli.dispatch import main

if __name__ == "__main__":
    sys.exit(main())
