"""``python -m benchmarks`` lists benchmarks; ``python -m benchmarks NAME [--json]`` runs one."""

import sys

from benchmarks.harness import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
