"""A small Hub on this machine: repositories, commits, branches, tags and files, by the Hub's own protocol.

It knows the end points that huggingface_hub 2.4 asks for when a model is pushed and loaded, keeps every commit as a
dict of files, and takes every file inside the commit (upload mode "regular"), so no storage server is needed. Faults
can be ordered: requests of a kind are answered by an error, or their connection is cut.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import transformers.utils.hub


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    private: bool = False

    def add(self, branch, files, title):
        oid = hashlib.sha1(f"{len(self.commits)}{branch}{sorted(files)}".encode()).hexdigest()
        self.commits[oid] = files
        self.branches[branch] = oid
        self.titles.append(title)
        return oid

    def resolve(self, revision):
        return (
            self.branches.get(revision) or self.tags.get(revision) or (revision if revision in self.commits else None)
        )

    def files(self, revision="main"):
        return self.commits[self.resolve(revision)]


class LocalHub:
    """The server. `faults[(method, word in the path)] = status` or "cut" spoils such requests until taken away."""

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.faults: dict[tuple[str, str], int | str] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: LocalHub

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", headers.pop("length", str(len(raw))))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def refuse(self, status, code, words):
        self.answer(status, {"error": words}, X_Error_Code=code, X_Error_Message=words)

    def handle_any(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if "Content-Length" in self.headers else b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            raw = self.chunks()
        path = urlsplit(self.path).path
        self.server_hub.requests.append(f"{self.command} {unquote(path)}")
        for (method, word), fault in list(self.server_hub.faults.items()):
            if method == self.command and word in path:
                if fault == "cut":
                    self.close_connection = True
                    self.connection.close()
                    return
                self.refuse(fault, "", "not today")
                return
        parts = [unquote(part) for part in path.strip("/").split("/")]
        getattr(self, "api" if parts[0] == "api" else "file")(parts, raw)

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = handle_any

    def chunks(self):
        raw = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            raw += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return raw

    def api(self, parts, raw):
        match parts[1:]:
            case ["repos", "create"]:
                self.create(json.loads(raw))
            case ["validate-yaml"]:
                self.answer(200, {"errors": [], "warnings": []})
            case ["models", owner, name, *rest] if repository := self.server_hub.repositories.get(f"{owner}/{name}"):
                self.model(f"{owner}/{name}", repository, rest, raw)
            case ["models", *_]:
                self.refuse(404, "RepoNotFound", "Repository not found")
            case ["whoami-v2"]:
                self.answer(200, {"name": "you", "type": "user", "orgs": []})
            case _:
                self.refuse(404, "", "unknown end point")

    def create(self, wanted):
        repo_id = f"{wanted.get('organization') or 'you'}/{wanted['name']}"
        address = f"{self.server_hub.address}/{repo_id}"
        if repo_id in self.server_hub.repositories:
            self.answer(409, {"error": "You already created this model repo", "url": address})
            return
        repository = Repository(private=bool(wanted.get("private")) or wanted.get("visibility") == "private")
        repository.add("main", {".gitattributes": b""}, "initial commit")
        self.server_hub.repositories[repo_id] = repository
        self.answer(200, {"url": address, "id": repo_id, "name": repo_id})

    def model(self, repo_id, repository, rest, raw):
        match rest:
            case ["preupload", _]:
                files = json.loads(raw)["files"]
                modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
                self.answer(200, {"files": modes})
            case ["commit", branch]:
                self.commit(repo_id, repository, branch, raw)
            case ["refs"]:
                told = [
                    [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in refs.items()]
                    for kind, refs in (("heads", repository.branches), ("tags", repository.tags))
                ]
                self.answer(200, {"branches": told[0], "tags": told[1], "converts": []})
            case ["branch", name]:
                repository.branches.setdefault(name, repository.branches["main"])
                self.answer(200, {})
            case ["tag", name] if self.command == "DELETE":
                del repository.tags[name]
                self.answer(200, {})
            case ["tag", revision]:
                repository.tags[json.loads(raw)["tag"]] = repository.resolve(revision)
                self.answer(200, {})
            case ["tree", revision, *folder]:
                self.tree(repository.files(revision), "/".join(folder))
            case [] | ["revision", _]:
                self.info(repo_id, repository, rest[1] if rest else "main")
            case _:
                self.refuse(404, "", "unknown end point")

    def commit(self, repo_id, repository, branch, raw):
        files, title = dict(repository.files(branch)), ""
        for line in map(json.loads, raw.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        oid = repository.add(branch, files, title)
        self.answer(200, {"commitUrl": f"{self.server_hub.address}/{repo_id}/commit/{oid}", "commitOid": oid})

    def tree(self, files, folder):
        inside = {path: data for path, data in files.items() if not folder or path.startswith(f"{folder}/")}
        told = [{"type": "file", "path": p, "size": len(d), "oid": blob(d)} for p, d in inside.items()]
        self.answer(200, told)

    def info(self, repo_id, repository, revision):
        if (oid := repository.resolve(revision)) is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        names = [{"rfilename": path} for path in repository.commits[oid]]
        facts = {"id": repo_id, "modelId": repo_id, "sha": oid, "private": repository.private, "siblings": names}
        self.answer(200, {**facts, "tags": [], "downloads": 0, "likes": 0})

    def file(self, parts, raw):
        owner, name, kind, revision, *path = parts + [""] * (5 - len(parts))
        repository = self.server_hub.repositories.get(f"{owner}/{name}")
        if repository is None or kind != "resolve":
            self.refuse(404, "RepoNotFound", "Repository not found")
        elif (oid := repository.resolve(revision)) is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif (data := repository.commits[oid].get("/".join(path))) is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
        else:
            self.answer(200, data, ETag=f'"{blob(data)}"', X_Repo_Commit=oid, Accept_Ranges="bytes")


@contextmanager
def serving(monkeypatch, token_path):
    """Run a Hub and send this process there: every place where the libraries keep its address is changed."""
    hub = LocalHub()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(token_path))
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # made once, with the address of that time
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    yield hub
    hub.close()


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
