"""What a run has come to, a line at a time, apart from its results."""

import sys
import time


def tell(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)
