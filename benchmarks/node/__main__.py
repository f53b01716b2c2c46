"""`python -m benchmarks.node`."""

import sys

from benchmarks.node.measurement import main

sys.exit(main())
