"""`python -m openflagship` is the command."""

import sys

from openflagship.cli import main

sys.exit(main())
