"""Loads a GGUF in llama.cpp (package xllamacpp) and prints token ids and vectors, or scores, of texts as JSON.

python run_llama_cpp.py MODEL.gguf TEXTS.json OUT.json [mean|cls|rank] [VECTORS]: run by the tests in whatever
interpreter has xllamacpp; never imports mmbert.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "export" / "serving"))
from probe import llama_server


def main(model: str, texts: str, out: str, pooling: str = "mean") -> None:
    rows = json.loads(Path(texts).read_text(encoding="utf-8"))
    ask = llama_server(Path(model), pooling)
    found: dict = {}
    if pooling == "rank":
        scores = ask("/rerank", {"query": rows[0], "documents": rows[1:]})["results"]
        found["scores"] = [one["relevance_score"] for one in sorted(scores, key=lambda one: one["index"])]
    else:
        found["ids"] = [ask("/tokenize", {"content": row, "add_special": True})["tokens"] for row in rows]
        short = rows[: int(sys.argv[5])] if len(sys.argv) > 5 else rows
        made = ask("/v1/embeddings", {"input": short, "encoding_format": "float"})["data"] if short else []
        found["vectors"] = [one["embedding"] for one in made]
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:5])
