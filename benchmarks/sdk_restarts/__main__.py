"""`python -m benchmarks.sdk_restarts`."""

import sys

from benchmarks.sdk_restarts.drill import main

sys.exit(main())
