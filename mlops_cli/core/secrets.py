"""Recognize secrets: files, variables, parts of a text. No other module does. No IO.

Scripts, gates and the endpoint do not get a secret. It is never sent to AWS and never shown: every text for a log, a
record, a page, MLflow or the terminal passes through ``without_secrets`` or ``hidden``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "…"
# The patterns are texts. `re` compiles one on first use, and most commands use none.
# Files and folders by name, in lower case. All content of such a folder is secret.
FILES = (
    ".env", ".env.*", ".env-*", ".env_*", "*.env", ".envrc", ".dev.vars", ".dev.vars.*", ".flaskenv", "*.pem",
    "*.key", "*.p8", "*.p12", "*.pfx", "*.pkcs12", "*.jks", "*.keystore", "*.kdb", "*.kdbx", "*.ppk", "*.keytab",
    "*.ovpn", "*.agekey", "*.gpg", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*_rsa", "*_ed25519",
    "ssh_host_*", ".aws", ".azure", ".config", ".docker", ".gcloud", ".gnupg", ".kaggle", ".kube", ".ssh", ".vault",
    "gcloud", "kubeconfig*", "*.kubeconfig", "*-kubeconfig*", "*_kubeconfig*", ".dockercfg", ".dockerconfigjson",
    ".netrc", "_netrc", ".pypirc", ".npmrc", ".yarnrc.yml", ".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf",
    ".boto", ".s3cfg", ".htpasswd", ".git-credentials", ".databrickscfg", ".terraformrc", "terraform.rc", ".snowsql",
    "*.publishsettings", "*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json", ".vault-token", ".vault_pass*",
    "vault_pass*", "*accesskeys.csv", "rootkey.csv", "kaggle.json", "client_secret*.json", "auth.json",
    "application_default_credentials.json", "*firebase-adminsdk*.json", "*service?account*.json",
    "*serviceaccount*.json", "gcp-*.json", "gcp_*.json", "sa-key*.json", "*.secret", "*.secrets", ".secrets",
    ".secret", "secrets", "credentials", ".token", ".credentials", "token", "token.txt", "token.json", "*-token",
    "*_token", "*-token.txt", "*_token.txt", "wallet.dat",
)  # fmt: skip
# A file with such a word in its name: prod-credentials.json, db_password.txt, api-key.
WORDED = (
    r"(?:^|[-_. ])(?:credentials?|passwords?|passwd|passphrase|secrets?|(?:api|private|access)[-_]?keys?"
    r"|service[-_]?account[-_]?keys?|(?:gcp|gcs|aws|azure|account|deploy|master)[-_]?keys?)(?:$|[-_. ])"
)
# Programs and texts about secrets are not secret because of a word in their name.
CODE = (
    ".py", ".pyi", ".ipynb", ".md", ".rst", ".sh", ".js", ".ts", ".html", ".css", ".sql", ".r", ".jl", ".java", ".go",
    ".rs", ".c", ".h", ".cpp",
)  # fmt: skip
EXAMPLES = ("example", "sample", "template", "dist")
CONTENT = (
    rb"(?m)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|\"type\"\s*:\s*\"(?:service_account|authorized_user)\""
    rb"|^\s*aws_secret_access_key\s*=\s*\S|^//.*:_authToken=|^\s*(?:client|users)-?(?:key|certificate)-data:"
)
# Variables with one of these words anywhere in the name, or with one of the next words between underscores.
ANYWHERE = (
    "(?i)TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ACCOUNT_?KEY|CONN(ECTION)?_?STR"
)
BETWEEN = (
    "(?i)(^|_)(KEY|KEYS|PASS|PW|PASSWD|AUTH|PAT|PSK|JWT|BEARER|DSN|SAS|COOKIE|COOKIES|SIGNATURE|WEBHOOK|OTP|PIN|PEM|KUBECONFIG"
    "|NETRC|LOGIN|CREDS?)($|_)|._PWD$|^PGPASS"
)
# Values that are secret whatever their name is: an address with a password, a private key, a token of a known form.
KNOWN_TOKENS = (
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{18,}|sk-[\w-]{20,}"
    r"|xox[abeoprs]-[\w-]{10,}|AIza[\w-]{35}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|dapi[0-9a-f]{32}|KGAT_[0-9a-f]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}\b|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)"
)
PRIVATE_KEY = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
# Placeholders for a value in a hint or an example: NAME=..., https://user:password@host.
PLACEHOLDER = r"""(?:\.{3}|…|'(?:\.{3}|…)'|"(?:\.{3}|…)")(?=[\s"'#,;&(){}\[\]]|\Z)"""
# user:password@ or token@, but not a port, a path and an @ after it.
USER_INFO = (
    r"(?<=//)(?!(?i:user:password)@[^\s@]*(?:\s|\Z)|\[|[^\s/@:?#]*:\d{1,5}[/?#])"
    r"(?:[^\s/:?#]{0,300}:[^\s\"']{0,300}|[^\s/@:?#]{1,300})(?=@)"
)
QUERY = (
    r"(?<=[?&;])(?P<name>[\w.-]*(?:token|secret|passw|credential|key|sig|auth|code|jwt|sas)[\w.-]*=)"
    rf"(?!{PLACEHOLDER})[^&\s\"'#]+"
)
# The end of a name whose value is a secret, in a message or among hyperparameters; "token" alone is a word of text.
NAME = (
    r"(?:passw(?:or)?d|passphrase|secret(?:[-_]?access)?(?:[-_]?key)?|(?:api|access|private)[-_]?key"
    r"|(?:access|api|auth|bearer|hf|id|personal|refresh|security|session)[-_]?token)"
)
VALUE = rf"""(?!{PLACEHOLDER})(?:"(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+'|[^\s"',;&(){{}}\[\]]+)"""
# NAME=value; "NAME": "value"; --NAME value, unless it stands for one; NAME: value with a digit or a sign in it.
ASSIGNED = (
    rf"(?P<name>{NAME}[\"']?\s*=\s*|{NAME}[\"']\s*:\s*|--(?=\w)[\w-]{{0,40}}{NAME}[\"']?(?:,\s*|\s+)(?!(?-i:[A-Z_]+)\b)"
    rf"|{NAME}:\s+(?=\S*[\d!$%*+/=?@^~])(?=\S{{6}})|;\s*pwd=|authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer)\s+"
    rf"|\bbearer\s+(?=\S*\d)(?=\S{{8}})){VALUE}"
)
_PARTS = f"(?s){USER_INFO}|{KNOWN_TOKENS}|{PRIVATE_KEY}"
_QUERY = f"(?i){QUERY}"
_ASSIGNED = f"(?i){ASSIGNED}"
_NAMED = f"(?i){NAME}$"
# A text without any of these contains no secret that a pattern matches. They are faster to find than the patterns.
PART_HINTS = (
    "//", "hf_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "xox", "AIza", "npm_", "pypi-",
    "dapi", "KGAT_", "AKIA", "ASIA", "eyJ", "PRIVATE KEY",
)  # fmt: skip
NAME_HINTS = ("passw", "passphrase", "secret", "key", "token", "pwd=", "bearer", "authorization", "?", "&", ";")
LEAST_KNOWN, LEAST_DECLARED = 8, 4
OWN = "MLOPS_"
# The secret values of this process, in any form. The reader of the settings sets them.
_known: list[str] = []


def is_secret_file(name: str) -> bool:
    """Return True if a file may be secret by its path, relative to the project. Example files are not."""
    parts = PurePosixPath(name.lower()).parts
    if _is_example(parts[-1]) and not any(_is_listed(part) for part in parts[:-1]):
        return False
    is_worded = not parts[-1].endswith(CODE) and re.search(WORDED, parts[-1]) is not None
    return is_worded or any(map(_is_listed, parts))


def has_secret_content(name: str, head: bytes) -> bool:
    """Return True if the beginning of a file that is no program shows a key."""
    return not name.lower().endswith(CODE) and re.search(CONTENT, head) is not None


def is_secret_name(name: str) -> bool:
    """Return True if a variable of this name may contain a secret, whatever its value."""
    return bool(re.search(ANYWHERE, name) or re.search(BETWEEN, name))


def is_secret_variable(name: str, value: str) -> bool:
    return is_secret_name(name) or _without_patterns(value) != value


def secret_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the variables whose values may be secret."""
    return sorted(name for name, value in environ.items() if value and is_secret_variable(name, value))


def known_secrets(variables: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the values that are secret in any text: of variables with a secret's name, and passwords in addresses.

    A path or an ARN is not secret. A very short value is not hidden, because it may occur anywhere. The variables of
    mlops itself are not secret: they name things such as the prefix of the keys in a bucket.
    """
    variables = list(variables)
    values = [value for name, value in variables if is_secret_name(name) and not name.startswith(OWN)]
    values += [unquote(part) for _, value in variables for part in re.findall(r"://[^\s/@:]*:([^\s/@]+)@", value)]
    unique = [
        line for line in _lines(values) if len(line) >= LEAST_KNOWN and not line.startswith(("/", "~", ".", "arn:"))
    ]
    return _forms(unique)


def set_known_secrets(values: Iterable[str]) -> None:
    """Hide these values, too, in every text of this process."""
    _known[:] = sorted(filter(None, values), key=len, reverse=True)


def add_known_secrets(values: Iterable[str]) -> None:
    """Hide the values of declared secrets, too. They are secret in any form."""
    set_known_secrets({*_known, *_forms(line for line in _lines(values) if len(line) >= LEAST_DECLARED)})


def is_too_short(value: str) -> bool:
    """Return True for a declared secret that is too short to be hidden: its text may occur anywhere."""
    return len(value.strip()) < LEAST_DECLARED


def _lines(values: Iterable[str]) -> list[str]:
    return [line.strip() for value in values for line in (value, *value.splitlines())]


def _forms(lines: Iterable[str]) -> frozenset[str]:
    """Return the forms of these lines in a text."""
    return frozenset(form for line in lines for form in (line, quote(line, safe="")))


def without_secrets(text: str) -> str:
    """Return the text without passwords, keys and tokens (by form or name), and without known secrets."""
    for secret in _known:
        text = text.replace(secret, HIDDEN)
    return _without_patterns(text)


def hidden(value: Any, name: str = "") -> Any:
    """Return a document with the secrets removed from every text. ``name``: the name of the value itself."""
    if isinstance(value, str):
        return HIDDEN if value and names_secret_value(name) else without_secrets(value)
    if isinstance(value, Mapping):
        return {key: hidden(part, str(key)) for key, part in value.items()}
    return [hidden(part) for part in value] if isinstance(value, (list, tuple)) else value


def names_secret_value(name: str) -> bool:
    """Return True if the value of a hyperparameter or field with this name is not shown."""
    return re.search(_NAMED, name) is not None


def _without_patterns(text: str) -> str:
    if any(hint in text for hint in PART_HINTS):
        text = re.sub(_PARTS, HIDDEN, text)
    lower = text.lower()
    if any(hint in lower for hint in NAME_HINTS):
        text = re.sub(_ASSIGNED, rf"\g<name>{HIDDEN}", re.sub(_QUERY, rf"\g<name>{HIDDEN}", text))
    return text


def _is_listed(part: str) -> bool:
    return any(fnmatchcase(part, pattern) for pattern in FILES)


def _is_example(name: str) -> bool:
    return any(word in EXAMPLES for word in re.split("[-_.]", name))
