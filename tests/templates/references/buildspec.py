"""What a buildspec may say, as a JSON schema, and which variables it may count on.

Source: AWS CodeBuild User Guide, "Build specification reference for CodeBuild" (build-spec-ref), read in November 2026;
batch builds and reports are left out, we have neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

# A command that holds ": " unquoted is a mapping in YAML: that is what the type catches.
COMMANDS = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
NAMES = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
PHASE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["commands"],
    "properties": {
        "run-as": {"type": "string"},
        "on-failure": {"type": "string", "pattern": "^(ABORT|CONTINUE|RETRY(-[0-9]+)?(-.+)?)$"},
        "commands": COMMANDS,
        "finally": COMMANDS,
    },
}
RUNTIMES = ("android", "dotnet", "golang", "java", "nodejs", "php", "python", "ruby")
INSTALL = {
    **PHASE,
    "required": [],
    "properties": {
        **PHASE["properties"],
        "runtime-versions": {**TEXTS, "propertyNames": {"enum": list(RUNTIMES)}},
    },
}
ARTIFACTS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["files"],
    "properties": {
        "files": NAMES,
        "name": {"type": "string"},
        "discard-paths": {"enum": ["yes", "no", True, False]},
        "base-directory": {"type": "string", "minLength": 1},
        "exclude-paths": NAMES,
        "enable-symlinks": {"enum": ["yes", "no", True, False]},
        "s3-prefix": {"type": "string"},
        "secondary-artifacts": {"type": "object"},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "phases"],
    "properties": {
        "version": {"const": 0.2},
        "run-as": {"type": "string"},
        "env": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "shell": {"enum": ["bash", "/bin/sh", "powershell.exe", "cmd.exe"]},
                "variables": TEXTS,
                "parameter-store": TEXTS,
                "secrets-manager": TEXTS,
                "exported-variables": NAMES,
                "git-credential-helper": {"enum": ["yes", "no", True, False]},
            },
        },
        "proxy": {"type": "object"},
        "phases": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {"install": INSTALL, "pre_build": PHASE, "build": PHASE, "post_build": PHASE},
        },
        "artifacts": ARTIFACTS,
        "cache": {"type": "object"},
    },
}
# What CodeBuild itself sets for every build, as far as we could want it (build-env-ref-env-vars).
OF_CODEBUILD = {"AWS_DEFAULT_REGION", "AWS_REGION", "CODEBUILD_SRC_DIR", "HOME", "PATH"}


def problems(document: Any) -> Iterator[str]:
    """Yield the places where the schema is violated, and how."""
    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document):
        yield f"{'/'.join(map(str, error.absolute_path)) or 'the document'}: {error.message}"


def commands(document: Mapping[str, Any]) -> list[str]:
    """Return every command of every phase, in order."""
    return [command for phase in document["phases"].values() for command in phase.get("commands", ())]


def variables(document: Mapping[str, Any]) -> set[str]:
    """Return the names of all environment variables that the commands read."""
    return set(re.findall(r"\$\{?([A-Za-z_]\w*)", " ".join(commands(document))))
