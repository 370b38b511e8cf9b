"""``python -m handfast``, and the program ``handfast``."""

import signal
import sys

# Until the program is loaded Ctrl-C ends the process as it ends any: Python's way would be a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from handfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
