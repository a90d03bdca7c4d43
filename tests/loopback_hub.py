"""A stand-in for the Hugging Face Hub on the loopback interface: model repositories with real commits, in memory.

It speaks the part of the Hub's HTTP API that huggingface_hub's client uses to create a repository, upload a folder,
list, download and load, with classic LFS (HF_HUB_DISABLE_XET=1). Whoever uses it sets `environment()` before
huggingface_hub is imported, so: in a process of its own.
"""

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

TOKEN = "hf_loopback"
LFS_SUFFIXES = (".safetensors", ".model")


@dataclass
class Repository:
    """Commits in order, each a whole snapshot: (40 hexadecimal digits, path to content)."""

    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a snapshot; return its name."""
        name = hashlib.sha1(f"{len(self.commits)}{sorted(files)}{time.time_ns()}".encode()).hexdigest()
        self.commits.append((name, files))
        return name

    def snapshot(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit that a branch, "main", or a commit's name means."""
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


class LoopbackHub:
    """The server, as a context manager; `url` is its address, `requests` what it was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        configuration = uvicorn.Config(self._application(), host="127.0.0.1", port=0, log_level="warning")
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables that point huggingface_hub here, with its caches under `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
        }

    def _application(self) -> FastAPI:
        application = FastAPI()
        routes = [
            ("GET", "/api/whoami-v2", self._whoami),
            ("POST", "/api/repos/create", self._create),
            ("POST", "/api/validate-yaml", self._validate_card),
            ("POST", "/api/models/{owner}/{name}/preupload/{revision}", self._preupload),
            ("POST", "/{owner}/{name}.git/info/lfs/objects/batch", self._lfs_batch),
            ("PUT", "/lfs/{digest}", self._lfs_put),
            ("POST", "/api/models/{owner}/{name}/commit/{revision}", self._commit),
            ("GET", "/api/models/{owner}/{name}/revision/{revision}", self._info),
            ("GET", "/api/models/{owner}/{name}/tree/{revision}", self._tree),
            ("GET", "/api/models/{owner}/{name}/tree/{revision}/{folder:path}", self._tree),
            ("GET", "/api/models/{owner}/{name}", self._info),
            ("GET", "/{owner}/{name}/resolve/{revision}/{path:path}", self._resolve),
            ("HEAD", "/{owner}/{name}/resolve/{revision}/{path:path}", self._resolve),
        ]
        for method, path, function in routes:
            application.add_route(path, self._logged(function), methods=[method])
        return application

    def _logged(self, function):
        async def handler(request: Request) -> Response:
            self.requests.append(f"{request.method} {request.url.path}")
            writes = request.method == "POST" and not request.url.path.endswith("validate-yaml")
            if writes and request.headers.get("authorization") != f"Bearer {TOKEN}":
                return JSONResponse({"error": "Invalid credentials"}, 401)
            return await function(request)

        return handler

    async def _whoami(self, request: Request) -> Response:
        return JSONResponse({"name": "someone", "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    async def _create(self, request: Request) -> Response:
        body = await request.json()
        name = f"{body.get('organization') or 'someone'}/{body['name']}"
        exists = name in self.repositories
        if not exists:
            self.repositories[name] = Repository()
            self.repositories[name].commit({})
        return JSONResponse({"url": f"{self.url}/{name}", "name": name}, 409 if exists else 200)

    async def _validate_card(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def _preupload(self, request: Request) -> Response:
        files = (await request.json())["files"]
        _, current = self._repository(request).snapshot("main")
        answers = []
        for file in files:
            known = current.get(file["path"])
            mode = "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            oid = None if known is None else _lfs_oid(known) if mode == "lfs" else _git_oid(known)
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answers})

    async def _lfs_batch(self, request: Request) -> Response:
        objects = [
            {
                "oid": wanted["oid"],
                "size": wanted["size"],
                "actions": {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}"}},
            }
            for wanted in (await request.json())["objects"]
        ]
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    async def _lfs_put(self, request: Request) -> Response:
        content = await request.body()
        if _lfs_oid(content) != request.path_params["digest"]:
            return JSONResponse({"error": "checksum"}, 400)
        self.blobs[request.path_params["digest"]] = content
        return Response()

    async def _commit(self, request: Request) -> Response:
        repository = self._repository(request)
        files = dict(repository.snapshot("main")[1])
        for line in (await request.body()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                files.pop(value["path"], None)
        name = repository.commit(files)
        address = f"{self.url}/{request.path_params['owner']}/{request.path_params['name']}/commit/{name}"
        return JSONResponse({"commitUrl": address, "commitOid": name, "success": True})

    async def _info(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        commit, files = found
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        now = "2024-01-01T00:00:00.000Z"
        facts = {"private": False, "gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
        facts |= {"lastModified": now, "createdAt": now, "siblings": [{"rfilename": path} for path in sorted(files)]}
        return JSONResponse({"_id": "0", "id": name, "modelId": name, "sha": commit, **facts})

    async def _tree(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        if "folder" in request.path_params:
            return _error(404, "EntryNotFound")
        return JSONResponse(
            [
                {"type": "file", "path": path, "size": len(content), **_oids(path, content)}
                for path, content in found[1].items()
            ]
        )

    async def _resolve(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        commit, files = found
        content = files.get(request.path_params["path"])
        if content is None:
            return _error(404, "EntryNotFound", {"X-Repo-Commit": commit})
        oid = _lfs_oid(content) if request.path_params["path"].endswith(LFS_SUFFIXES) else _git_oid(content)
        headers = {"ETag": f'"{oid}"', "X-Repo-Commit": commit, "Content-Length": str(len(content))}
        return Response(b"" if request.method == "HEAD" else content, headers=headers)

    def _repository(self, request: Request) -> Repository | None:
        return self.repositories.get(f"{request.path_params['owner']}/{request.path_params['name']}")

    def _found(self, request: Request) -> tuple[str, dict[str, bytes]] | Response:
        repository = self._repository(request)
        if repository is None:
            return _error(404, "RepoNotFound")
        return repository.snapshot(request.path_params.get("revision", "main")) or _error(404, "RevisionNotFound")


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": code}, status, headers={"X-Error-Code": code, **(headers or {})})


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _lfs_oid(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _oids(path: str, content: bytes) -> dict:
    if not path.endswith(LFS_SUFFIXES):
        return {"oid": _git_oid(content)}
    return {"oid": _git_oid(content), "lfs": {"oid": _lfs_oid(content), "size": len(content), "pointerSize": 127}}
