"""A stand-in for the Hugging Face Hub on the loopback interface: model repositories with real commits, in memory.

It speaks the part of the Hub's HTTP API that huggingface_hub's client uses to create a repository, upload a folder,
list, download and load, with classic LFS (HF_HUB_DISABLE_XET=1). Whoever uses it sets `environment()` before
huggingface_hub is imported, so: in a process of its own.
"""

import base64
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from .running_server import running_server

WHOAMI, VALIDATE_CARD = "/api/whoami-v2", "/api/validate-yaml"
TOKEN = "hf_loopback"
LFS_SUFFIXES = (".safetensors", ".model")
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()

Snapshot = dict[str, bytes]


class HubError(Exception):
    """An answer whose code the client turns into an error of its own."""

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None):
        super().__init__(code)
        self.response = JSONResponse({"error": code}, status, {"X-Error-Code": code, **(headers or {})})


@dataclass
class Repository:
    """Commits in order, each a whole snapshot: (40 hexadecimal digits, path to content)."""

    commits: list[tuple[str, Snapshot]] = field(default_factory=list)

    def commit(self, files: Snapshot) -> str:
        """Add a snapshot; return its name."""
        name = hashlib.sha1(f"{len(self.commits)}{sorted(files)}{time.time_ns()}".encode()).hexdigest()
        self.commits.append((name, files))
        return name

    def snapshot(self, revision: str) -> tuple[str, Snapshot]:
        """Return the commit that the branch "main", or a commit's name, means."""
        if revision == "main":
            return self.commits[-1]
        for commit in self.commits:
            if commit[0] == revision:
                return commit
        raise HubError(404, "RevisionNotFound")


class LoopbackHub:
    """The server, as a context manager; `url` is its address, `requests` what it was asked ("GET /api/...")."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self._server = running_server(self._application())
        self.url = ""

    def __enter__(self) -> Self:
        self.url = f"http://127.0.0.1:{self._server.__enter__()}"
        return self

    def __exit__(self, *exception: Any) -> None:
        self._server.__exit__(*exception)

    def commits(self, repo_id: str) -> list[str]:
        """Return the names of a repository's commits, oldest first; the first holds .gitattributes only."""
        return [name for name, _ in self.repositories[repo_id].commits]

    def files(self, repo_id: str, revision: str = "main") -> Snapshot:
        """Return what a commit holds, path to content."""
        return dict(self.repositories[repo_id].snapshot(revision)[1])

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables that point huggingface_hub here, with its caches under `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "no_proxy": "127.0.0.1",
        }

    def _application(self) -> FastAPI:
        application = FastAPI()
        routes = [
            ("GET", WHOAMI, self._whoami),
            ("POST", "/api/repos/create", self._create),
            ("POST", VALIDATE_CARD, self._validate_card),
            ("POST", "/api/models/{owner}/{name}/preupload/{revision}", self._preupload),
            ("POST", "/{owner}/{name}.git/info/lfs/objects/batch", self._lfs_batch),
            ("PUT", "/lfs/{digest}", self._lfs_put),
            ("POST", "/api/models/{owner}/{name}/commit/main", self._commit),
            ("GET", "/api/models/{owner}/{name}/revision/{revision}", self._info),
            ("GET", "/api/models/{owner}/{name}/tree/{revision}", self._tree),
            ("GET", "/api/models/{owner}/{name}/tree/{revision}/{folder:path}", self._tree),
            ("GET", "/api/models/{owner}/{name}", self._info),
            ("GET", "/{owner}/{name}/resolve/{revision}/{path:path}", self._resolve),
            ("HEAD", "/{owner}/{name}/resolve/{revision}/{path:path}", self._resolve),
        ]
        for method, path, function in routes:
            application.add_route(path, self._checked(function), methods=[method])
        return application

    def _checked(self, function: Callable[[Request], Awaitable[Response]]):
        """Note the request, and refuse a wrong token; without a token one may read."""

        async def handler(request: Request) -> Response:
            path, token = request.url.path, request.headers.get("authorization")
            self.requests.append(f"{request.method} {path}")
            may_read = path == VALIDATE_CARD or (request.method != "POST" and path != WHOAMI)
            if token != f"Bearer {TOKEN}" and (token or not may_read):
                return JSONResponse({"error": "Invalid credentials in Authorization header"}, 401)
            try:
                return await function(request)
            except HubError as error:
                return error.response

        return handler

    async def _whoami(self, request: Request) -> Response:
        access = {"accessToken": {"role": "write"}}
        return JSONResponse({"name": "someone", "type": "user", "orgs": [], "auth": access})

    async def _validate_card(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def _create(self, request: Request) -> Response:
        body = await request.json()
        name = f"{body.get('organization') or 'someone'}/{body['name']}"
        exists = name in self.repositories
        if not exists:
            self.repositories[name] = Repository()
            self.repositories[name].commit({".gitattributes": ATTRIBUTES})
        return JSONResponse({"url": f"{self.url}/{name}", "name": name}, 409 if exists else 200)

    async def _preupload(self, request: Request) -> Response:
        body = await request.json()
        _, current = self._found(request)
        answers = []
        for path in (file["path"] for file in body["files"]):
            mode = "lfs" if path.endswith(LFS_SUFFIXES) else "regular"
            oid = _oid(path, current[path]) if path in current else None
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answers})

    async def _lfs_batch(self, request: Request) -> Response:
        objects = (await request.json())["objects"]
        for wanted in objects:
            if wanted["oid"] not in self.blobs:
                wanted["actions"] = {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}"}}
        answer = {"transfer": "basic", "objects": objects}
        return JSONResponse(answer, media_type="application/vnd.git-lfs+json")

    async def _lfs_put(self, request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["digest"]:
            raise HubError(400, "ChecksumMismatch")
        self.blobs[request.path_params["digest"]] = content
        return Response()

    async def _commit(self, request: Request) -> Response:
        changes = [json.loads(line) for line in (await request.body()).splitlines()]
        files = dict(self._found(request)[1])
        for change in changes[1:]:  # the first line is the commit's message
            operation, path = change["key"], change["value"]["path"]
            if operation == "file":
                files[path] = base64.b64decode(change["value"]["content"])
            elif operation == "lfsFile" and change["value"]["oid"] in self.blobs:
                files[path] = self.blobs[change["value"]["oid"]]
            elif operation == "deletedFile" and path in files:
                del files[path]
            else:
                raise HubError(400, "BadOperation")
        repo_id = _repo_id(request)
        name = self.repositories[repo_id].commit(files)
        return JSONResponse({"commitUrl": f"{self.url}/{repo_id}/commit/{name}", "commitOid": name})

    async def _info(self, request: Request) -> Response:
        commit, files = self._found(request)
        name = _repo_id(request)
        dates = dict.fromkeys(("createdAt", "lastModified"), "2024-01-01T00:00:00.000Z")
        facts = {"private": False, "gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
        siblings = [{"rfilename": path} for path in sorted(files)]
        answer = {"_id": "0", "id": name, "modelId": name, "sha": commit, "siblings": siblings}
        return JSONResponse(answer | dates | facts)

    async def _tree(self, request: Request) -> Response:
        """List a folder's files with those of the folders in it, whether the client asks for them or not."""
        commit, files = self._found(request)
        folder = request.path_params.get("folder")
        entries = []
        for path, content in sorted(files.items()):
            if folder is None or path.startswith(f"{folder}/"):
                entry = {"type": "file", "path": path, "size": len(content), "oid": _oid(path, content)}
                lfs = {"oid": entry["oid"], "size": len(content), "pointerSize": 127}
                entries.append(entry | ({"lfs": lfs} if path.endswith(LFS_SUFFIXES) else {}))
        if folder and not entries:
            raise HubError(404, "EntryNotFound", {"X-Repo-Commit": commit})
        return JSONResponse(entries)

    async def _resolve(self, request: Request) -> Response:
        commit, files = self._found(request)
        path = request.path_params["path"]
        if path not in files:
            raise HubError(404, "EntryNotFound", {"X-Repo-Commit": commit})
        content = files[path]
        headers = {"ETag": f'"{_oid(path, content)}"', "X-Repo-Commit": commit}
        headers["Content-Length"] = str(len(content))  # of a HEAD's answer too
        return Response(b"" if request.method == "HEAD" else content, headers=headers)

    def _found(self, request: Request) -> tuple[str, Snapshot]:
        """Return the commit that a request's path names."""
        if _repo_id(request) not in self.repositories:
            raise HubError(404, "RepoNotFound")
        return self.repositories[_repo_id(request)].snapshot(request.path_params.get("revision", "main"))


def _repo_id(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name']}"


def _oid(path: str, content: bytes) -> str:
    """Name a file's content as the client does: SHA-256 in LFS, else as git names a blob."""
    if path.endswith(LFS_SUFFIXES):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
