"""``python -m benchmarks`` lists benchmarks, ``… NAME [--json]`` runs one, ``… all`` every one."""

import sys

from benchmarks.harness import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
