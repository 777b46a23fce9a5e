"""The content of a commit: GetFolder, GetFile, GetDifferences."""

from __future__ import annotations

from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.service import Request
from aws_simulator.services.codecommit.git import NAMES, Entry, Git


def specified(git: Git, specifier: str) -> str:
    """Return the id of the commit that a specifier (branch, tag, id) names."""
    commit = git.resolve(specifier)
    if commit is None:
        raise ServiceError("CommitDoesNotExistException", f"Could not resolve commit specifier {specifier}")
    return commit


def folder(git: Git, request: Request) -> dict[str, Any]:
    commit = specified(git, request.get("commitSpecifier", "HEAD"))
    path = request["folderPath"].strip("/")
    entry = git.entry(commit, path) if path else None
    if path and (entry is None or entry.kind != "tree"):
        raise ServiceError("FolderDoesNotExistException", f"Folder {path} does not exist")
    entries = git.entries(commit, path)
    tree = entry.id if entry else git.describe(commit)["tree"]
    return {
        "commitId": commit,
        "folderPath": path,
        "treeId": tree,
        "subFolders": [{"treeId": entry.id, **_paths(entry, path)} for entry in entries if entry.kind == "tree"],
        "files": [_file(entry, path) for entry in entries if entry.kind == "blob" and NAMES[entry.mode] != "SYMLINK"],
        "symbolicLinks": [
            _file(entry, path) for entry in entries if entry.kind == "blob" and NAMES[entry.mode] == "SYMLINK"
        ],
        "subModules": [{"commitId": entry.id, **_paths(entry, path)} for entry in entries if entry.kind == "commit"],
    }


def file(git: Git, request: Request) -> dict[str, Any]:
    commit = specified(git, request.get("commitSpecifier", "HEAD"))
    entry = git.entry(commit, request["filePath"].lstrip("/"))
    if entry is None or entry.kind != "blob":
        raise ServiceError("FileDoesNotExistException", f"File {request['filePath']} does not exist")
    content = git.content(entry.id)
    return {
        "commitId": commit,
        "blobId": entry.id,
        "filePath": entry.path,
        "fileMode": NAMES[entry.mode],
        "fileSize": len(content),
        "fileContent": content,
    }


def differences(git: Git, request: Request) -> list[dict[str, Any]]:
    before = request.get("beforeCommitSpecifier")
    start = specified(git, before) if before else None
    end = specified(git, request["afterCommitSpecifier"])
    changes = git.differences(start, end, request.get("beforePath", ""), request.get("afterPath", ""))
    return [
        {
            "changeType": change.change,
            **({"beforeBlob": _blob(change.before)} if change.before else {}),
            **({"afterBlob": _blob(change.after)} if change.after else {}),
        }
        for change in changes
    ]


def _blob(entry: Entry) -> dict[str, str]:
    return {"blobId": entry.id, "path": entry.path, "mode": entry.mode}


def _file(entry: Entry, folder: str) -> dict[str, str]:
    return {"blobId": entry.id, "fileMode": NAMES[entry.mode], **_paths(entry, folder)}


def _paths(entry: Entry, folder: str) -> dict[str, str]:
    return {"absolutePath": entry.path, "relativePath": entry.path.removeprefix(f"{folder}/")}
