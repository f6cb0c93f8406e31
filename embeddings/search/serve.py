"""A search page of an index, and its model as a service: starlette, one HTML page of ours, nothing from the network.

    /                 the page; it asks /api/about, /api/search and /api/map
    /v1/embeddings    vectors of texts, as OpenAI's API gives them
    /v1/rerank        texts in the order of a reranker, as Jina's and Cohere's APIs give them

Trade-off: one question at a time is computed, as the model needs all cores anyway; others wait. Text reaches the page
as JSON and is shown as text, never as HTML. Who may ask: everybody on this machine, or everybody with the token.
"""

import base64
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...model_cards.report.write import content_policy
from .documents import LANGUAGE_COLUMNS
from .hits import SearchHit, check_questions
from .index import SearchIndex
from .served import INSTANCE

_log = logging.getLogger(__name__)
_PAGE = Path(__file__).with_name("page.html")
_MOST_BYTES, _MOST_TEXTS, _MOST_HITS, _MOST_CHARACTERS = 2_000_000, 512, 100, 10_000
_MAPPED = 1_500  # passages on the map
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def make_app(index: SearchIndex, *, token: str | None = None, reranker: Any = None) -> Any:
    """Make the ASGI application of an index."""
    try:
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse
        from starlette.routing import Route
    except ImportError as missing:
        raise ImportError('a search page needs starlette and uvicorn: pip install "mmbert[serve]"') from missing
    if getattr(reranker, "untrained", False):
        raise ValueError("the reranker's head was never trained, so its order means nothing; train it, or leave it out")
    service, page, instance = _Service(index, reranker), _PAGE.read_text(encoding="utf-8"), secrets.token_hex(8)
    policy = content_policy(page, "connect-src 'self'", "frame-ancestors 'none'")
    headers = {**_HEADERS, INSTANCE: instance}

    async def show(request: Any) -> Any:
        return HTMLResponse(page, headers={**_HEADERS, "Content-Security-Policy": policy})

    routes = [Route("/", show)]
    for path in ("/api/about", "/api/map"):
        routes.append(Route(path, _responder(getattr(service, path.rpartition("/")[2]), token, headers)))
    for path in ("/api/search", "/v1/embeddings", "/v1/rerank"):
        answer = _responder(getattr(service, path.rpartition("/")[2]), token, headers)
        routes.append(Route(path, answer, methods=["POST"]))
    app = Starlette(routes=routes)
    app.state.instance = instance
    return app


def _responder(answer: Callable[[dict[str, Any]], Any], token: str | None, headers: dict[str, str]) -> Any:
    """A handler that checks who asks and how much, and gives one line for what cannot be answered."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    def refused(status: int, message: str) -> Any:
        return JSONResponse({"error": {"message": " ".join(message.split())}}, status, headers)

    async def respond(request: Any) -> Any:
        if (objection := _objection(request, token)) is not None:
            return refused(*objection)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BYTES:
                return refused(413, f"a request may have {_MOST_BYTES:,} bytes; send less at a time")
        try:
            asked = json.loads(body or b"{}")
            if not isinstance(asked, dict):
                raise ValueError(f"a JSON object is needed, got {type(asked).__name__}")
            return JSONResponse(await run_in_threadpool(answer, asked), headers=headers)
        except (ValueError, RecursionError, OSError) as error:
            return refused(400, str(error))
        except Exception:
            _log.exception("a request failed")
            return refused(500, "the request failed; the log of the server says why")

    return respond


class _Service:
    """What the routes answer, from plain values to plain values."""

    def __init__(self, index: SearchIndex, reranker: Any) -> None:
        self.index, self.reranker, self._lock = index, reranker, threading.Lock()
        known = index.store.columns()
        self.language = next((name for name in LANGUAGE_COLUMNS if name in known), None)
        source = index.model.source or {}
        self.name = Path(str(source.get("checkpoint", "embedder"))).name  # no path of this machine

    def about(self, asked: dict[str, Any]) -> dict[str, Any]:
        store = self.index.store
        languages = [] if self.language is None else store.values(self.language)
        return {
            "model": self.name,
            "documents": sum(count for _, count in languages) if languages else len(store.names()),
            "passages": len(store),
            "languages": languages,
            "columns": store.columns(),
            "reranker": self.reranker is not None,
        }

    def search(self, asked: dict[str, Any]) -> dict[str, Any]:
        query, top_k = _text(asked, "query"), _number(asked, "top_k", 10, _MOST_HITS)
        conditions = [f"({asked['where']})"] if asked.get("where") else []
        if asked.get("language"):
            if self.language is None:
                raise ValueError("the index has no column lang or language to filter on")
            quoted = str(asked["language"]).replace("'", "''")
            conditions.append(f"{self.language} = '{quoted}'")
        with self._lock:
            hits = self.index.search(
                query,
                top_k,
                mode=asked.get("mode", "hybrid"),
                where=" AND ".join(conditions) or None,
                reranker=self.reranker if asked.get("rerank") else None,
                one_per_document=bool(asked.get("one_per_document")),
                hubness=asked.get("hubness", "none"),
            )
        return {"hits": [self._shown(hit) for hit in hits]}

    def _shown(self, hit: SearchHit) -> dict[str, Any]:
        text, pieces, place = hit.text or "", [], 0
        for start, end in hit.highlights:
            pieces += [[text[place:start], False], [text[start:end], True]]
            place = end
        return {
            "score": hit.score,
            "document": hit.document,
            "line": hit.line,
            "language": hit.columns.get(self.language or ""),
            "pieces": [piece for piece in [*pieces, [text[place:], False]] if piece[0]],
        }

    def map(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Passages on their first two principal axes, evenly drawn from the index."""
        with self._lock, self.index.store.snapshot():
            ids = self.index.store.ids().tolist()
            chosen = ids[:: max(1, -(-len(ids) // _MAPPED))]
            vectors, passages = self.index.store.vectors_of(chosen), self.index.store.passages(chosen)
        vectors = vectors - vectors.mean(axis=0)
        _, axes = np.linalg.eigh(vectors.T @ vectors)
        places = vectors @ axes[:, :-3:-1]
        places /= np.abs(places).max(initial=1e-9)
        return {
            "points": [
                [round(float(x), 4), round(float(y), 4), one["columns"].get(self.language or ""), one["document"]]
                for (x, y), one in zip(places, (passages[number] for number in chosen), strict=True)
            ]
        }

    def embeddings(self, asked: dict[str, Any]) -> dict[str, Any]:
        given, kind = asked.get("input"), asked.get("encoding_format", "float")
        texts = check_questions([given] if isinstance(given, str) else given if isinstance(given, list) else [])
        if not 1 <= len(texts) <= _MOST_TEXTS or kind not in ("float", "base64"):
            raise ValueError(f"input must be 1 to {_MOST_TEXTS} texts, and encoding_format float or base64")
        with self._lock:
            vectors = np.asarray(self.index.embedder.encode(texts, prompt="", show_progress_bar=False), np.float32)
            done = getattr(self.index.embedder, "last_encoding", None)
        if (dims := asked.get("dimensions")) is not None and dims != vectors.shape[1]:
            raise ValueError(f"the index has vectors of {vectors.shape[1]} dimensions, got dimensions={dims!r:.20}")
        tokens = getattr(done, "tokens", 0)
        rows = [base64.b64encode(row.tobytes()).decode() if kind == "base64" else row.tolist() for row in vectors]
        data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(rows)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": self.name, "usage": usage}

    def rerank(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.reranker is None:
            raise ValueError("no reranker is loaded; start the server with --reranker FOLDER")
        query, given = _text(asked, "query"), asked.get("documents")
        if not isinstance(given, list) or not 1 <= len(given) <= _MOST_TEXTS:
            raise ValueError(f"documents must be a list of 1 to {_MOST_TEXTS} texts")
        texts = check_questions([one.get("text") if isinstance(one, dict) else one for one in given])
        top = _number(asked, "top_n", len(texts), _MOST_TEXTS)
        with self._lock:
            scores = np.asarray(self.reranker.predict([(query, text) for text in texts], show_progress_bar=False))
        results: list[dict[str, Any]] = [
            {"index": int(place), "relevance_score": float(scores[place])}
            for place in np.argsort(-scores, kind="stable")[:top]
        ]
        if asked.get("return_documents"):
            for one in results:
                one["document"] = {"text": texts[one["index"]]}
        return {"model": "reranker", "results": results}


def _text(asked: dict[str, Any], name: str) -> str:
    text = asked.get(name)
    check_questions([text])
    if len(text) > _MOST_CHARACTERS:  # type: ignore[arg-type]
        raise ValueError(f"{name} may have {_MOST_CHARACTERS:,} characters")
    return str(text)


def _number(asked: dict[str, Any], name: str, default: int, most: int) -> int:
    value = asked.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r:.20}")
    return value


def _objection(request: Any, token: str | None) -> tuple[int, str] | None:
    """Why a request is not answered, with the status; another page in the user's browser must not ask in their name."""
    if token is not None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(sent.encode(), token.encode()):
            return 401, "the token is missing or wrong; send Authorization: Bearer TOKEN"
    elif re.sub(r":\d+$", "", request.headers.get("host", "")) not in _LOOPBACK:
        return 403, "this server answers requests to 127.0.0.1 and localhost only; start it with --host and a token"
    if request.method == "POST" and not request.headers.get("content-type", "").startswith("application/json"):
        return 415, "send JSON with Content-Type: application/json"
    return None
