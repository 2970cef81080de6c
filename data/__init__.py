"""Ground truth in, padded batches out."""

import time

STARTED_S = time.monotonic()  # of this process, nearly: the command line imports this package before everything else
