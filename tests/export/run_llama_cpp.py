"""Loads a GGUF in llama.cpp (package xllamacpp) and prints token ids and vectors, or scores, of texts as JSON.

python run_llama_cpp.py MODEL.gguf TEXTS.json OUT.json [mean|cls|rank] [VECTORS]: run by the tests in whatever
interpreter has xllamacpp; never imports mmbert.
"""

import json
import sys
import urllib.request
from pathlib import Path

import xllamacpp


def main(model: str, texts: str, out: str, pooling: str = "mean") -> None:
    rows = json.loads(Path(texts).read_text(encoding="utf-8"))
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.embedding = True
    settings.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 8192
    settings.n_parallel = 1
    settings.cpuparams.n_threads = 1
    settings.warmup = False
    settings.port = 0
    server = xllamacpp.Server(settings)

    def ask(path: str, body: dict) -> dict:
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            f"{server.listening_address}{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.loads(answer.read())

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
