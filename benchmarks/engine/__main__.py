"""`python -m benchmarks.engine`."""

import sys

from benchmarks.engine.measurement import main

sys.exit(main())
