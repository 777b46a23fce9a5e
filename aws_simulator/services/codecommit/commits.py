"""CreateCommit and GetCommit, with AWS's limits and errors."""

from __future__ import annotations

from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.service import Request
from aws_simulator.services.codecommit.git import NAMES, Git

MOST_ENTRIES = 100
LARGEST_FILE = 6 << 20
LARGEST_COMMIT = 20 << 20


def existing(git: Git, commit: str) -> str:
    if git.resolve(commit) != commit:
        raise ServiceError("CommitDoesNotExistException", f"Commit {commit} does not exist")
    return commit


def described(git: Git, commit: str) -> dict[str, Any]:
    facts = git.describe(commit)
    return {
        "commitId": commit,
        "treeId": facts["tree"],
        "parents": facts["parents"].split(),
        "message": facts["text"],
        "author": {"name": facts["author"], "email": facts["email"], "date": facts["date"]},
        "committer": {
            "name": facts["committer"],
            "email": facts["committer_email"],
            "date": facts["committer_date"],
        },
        "additionalData": "",
    }


def expected_parent(git: Git, request: Request) -> str | None:
    """Return the branch's last commit, which the request must name as its parent."""
    branch, parent = request["branchName"], request.get("parentCommitId")
    tip = git.branch(branch)
    if tip is None:
        if git.branches():
            raise ServiceError("BranchDoesNotExistException", f"Branch {branch} does not exist")
        return None
    if not parent:
        raise ServiceError("ParentCommitIdRequiredException", "A parent commit ID is required.")
    if git.resolve(parent) != parent:
        raise ServiceError("ParentCommitDoesNotExistException", f"Parent commit {parent} does not exist")
    if parent != tip:
        message = f"Parent commit {parent} is not the tip of branch {branch}: {tip}"
        raise ServiceError("ParentCommitIdOutdatedException", message)
    return tip


def create(git: Git, request: Request, caller_arn: str) -> dict[str, Any]:
    parent = expected_parent(git, request)
    puts, deletes = request.get("putFiles", []), request.get("deleteFiles", [])
    _check(git, parent, puts, deletes, request.get("setFileModes", []))
    put = [_content(git, parent, entry) for entry in puts]
    put += [_with_mode(git, parent, entry) for entry in request.get("setFileModes", [])]
    moved = [entry["sourceFile"]["filePath"] for entry in puts if (entry.get("sourceFile") or {}).get("isMove")]
    delete = [entry["filePath"] for entry in deletes] + moved
    author = (request.get("authorName") or caller_arn, request.get("email") or "")
    commit = git.commit(request["branchName"], parent, put, delete, author, request.get("commitMessage", ""))
    changes = git.differences(parent, commit)
    if not changes:
        git.set_branch(request["branchName"], parent or commit)
        raise ServiceError("NoChangeException", "The specified commit does not change the repository.")
    result: dict[str, Any] = {"commitId": commit, "treeId": git.describe(commit)["tree"]}
    for name, kind in (("filesAdded", "A"), ("filesUpdated", "M"), ("filesDeleted", "D")):
        entries = [change.after or change.before for change in changes if change.change == kind]
        result[name] = [
            {"absolutePath": entry.path, "blobId": entry.id, "fileMode": NAMES[entry.mode]}
            for entry in entries
            if entry
        ]
    return result


def _check(git: Git, parent: str | None, puts: list[Request], deletes: list[Request], modes: list[Request]) -> None:
    entries = [entry["filePath"] for entry in (*puts, *deletes, *modes)]
    if not entries:
        raise ServiceError("FileEntryRequiredException", "At least one file entry is required.")
    if len(entries) > MOST_ENTRIES:
        message = f"The number of file entries exceeds the maximum of {MOST_ENTRIES}."
        raise ServiceError("MaximumFileEntriesExceededException", message)
    if len(set(entries)) < len(entries):
        raise ServiceError("SamePathRequestException", "A file path appears more than once in the request.")
    for path in entries:
        if (
            not path
            or path.startswith("/")
            or path.endswith("/")
            or any(p in ("", ".", "..", ".git") for p in path.split("/"))
        ):
            raise ServiceError("InvalidPathException", f"The path {path} is not valid.")
    for entry in deletes:
        if parent is None or git.entry(parent, entry["filePath"]) is None:
            raise ServiceError("FileDoesNotExistException", f"File {entry['filePath']} does not exist")
    sizes = [len(entry.get("fileContent", b"")) for entry in puts]
    if any(size > LARGEST_FILE for size in sizes):
        raise ServiceError("FileContentSizeLimitExceededException", "A file is larger than 6 MB.")
    if sum(sizes) > LARGEST_COMMIT:
        raise ServiceError("FolderContentSizeLimitExceededException", "The files are larger than 20 MB in total.")


def _content(git: Git, parent: str | None, entry: Request) -> tuple[str, str, bytes]:
    source = entry.get("sourceFile")
    if source is None and "fileContent" not in entry:
        raise ServiceError("SourceFileOrContentRequiredException", "File content or a source file is required.")
    if source is not None and "fileContent" in entry:
        raise ServiceError("FileContentAndSourceFileSpecifiedException", "Both content and source file are given.")
    if source is None:
        return entry["filePath"], entry.get("fileMode", "NORMAL"), entry["fileContent"]
    existing = git.entry(parent, source["filePath"]) if parent else None
    if existing is None:
        raise ServiceError("FileDoesNotExistException", f"File {source['filePath']} does not exist")
    return entry["filePath"], entry.get("fileMode", NAMES[existing.mode]), git.content(existing.id)


def _with_mode(git: Git, parent: str | None, entry: Request) -> tuple[str, str, bytes]:
    existing = git.entry(parent, entry["filePath"]) if parent else None
    if existing is None:
        raise ServiceError("FileDoesNotExistException", f"File {entry['filePath']} does not exist")
    return entry["filePath"], entry["fileMode"], git.content(existing.id)
