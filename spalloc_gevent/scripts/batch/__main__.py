"""``python -m spalloc_gevent.scripts.batch``."""

import sys

from spalloc_gevent.scripts.batch import main

sys.exit(main())
