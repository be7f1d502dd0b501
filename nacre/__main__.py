"""``python -m nacre`` is the console script ``nacre``."""

import sys

from nacre.cli import main

sys.exit(main())
