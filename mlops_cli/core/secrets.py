"""Decide what may be secret: files, variables, parts of a text. The only place that does. No IO.

A secret is withheld from scripts, gates and the endpoint, is never sent to AWS, and is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

HIDDEN = "…"
# Files and folders by name, in lower case; a folder's content is as secret as the folder.
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
# A file whose name says so in a word of its own: prod-credentials.json, db_password.txt, api-key.
WORDED = re.compile(
    r"(?:^|[-_. ])(?:credentials?|passwords?|passwd|passphrase|secrets?|(?:api|private|access)[-_]?keys?"
    r"|service[-_]?account[-_]?keys?|(?:gcp|gcs|aws|azure|account|deploy|master)[-_]?keys?)(?:$|[-_. ])"
)
# Not by a word in their name: programs and texts about secrets.
CODE = (
    ".py", ".pyi", ".ipynb", ".md", ".rst", ".sh", ".js", ".ts", ".html", ".css", ".sql", ".r", ".jl", ".java", ".go",
    ".rs", ".c", ".h", ".cpp",
)  # fmt: skip
EXAMPLES = ("example", "sample", "template", "dist")
CONTENT = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|\"type\"\s*:\s*\"(?:service_account|authorized_user)\""
    rb"|^\s*aws_secret_access_key\s*=\s*\S|^//.*:_authToken=|^\s*(?:client|users)-?(?:key|certificate)-data:",
    re.MULTILINE,
)
# Variables by a word in their name, whatever stands around it, and by a word between underscores.
ANYWHERE = re.compile(
    "TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ACCOUNT_?KEY|CONN(ECTION)?_?STR", re.I
)
BETWEEN = re.compile(
    "(^|_)(KEY|KEYS|PASS|PW|PASSWD|AUTH|PAT|PSK|JWT|BEARER|DSN|SAS|COOKIE|COOKIES|SIGNATURE|WEBHOOK|OTP|PIN|PEM|KUBECONFIG"
    "|NETRC|LOGIN|CREDS?)($|_)|._PWD$|^PGPASS",
    re.I,
)
# Values that are secret under any name: an address with a password, a private key, a token of a known form.
KNOWN_TOKENS = (
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{18,}|sk-[\w-]{20,}"
    r"|xox[abeoprs]-[\w-]{10,}|AIza[\w-]{35}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|dapi[0-9a-f]{32}|KGAT_[0-9a-f]{20,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)"
)
PRIVATE_KEY = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
# user:password@, token@; not a port, a path and an @ behind it.
USER_INFO = r"(?<=//)(?!\[|[^\s/@:?#]*:\d{1,5}[/?#])(?:[^\s/@:?#]*:[^\s\"']*|[^\s/@:?#]+)(?=@)"
QUERY = r"(?<=[?&;])(?P<name>[\w.-]*(?:token|secret|passw|credential|key|sig|auth|code|jwt|sas)[\w.-]*=)[^&\s\"'#]+"
_PARTS = re.compile(f"{USER_INFO}|{KNOWN_TOKENS}|{PRIVATE_KEY}", re.DOTALL)
_QUERY = re.compile(QUERY, re.IGNORECASE)


def is_secret_file(name: str) -> bool:
    """Return True if a file may be secret by its path, relative to the project; examples are not."""
    parts = PurePosixPath(name.lower()).parts
    if _is_example(parts[-1]) and not any(_is_listed(part) for part in parts[:-1]):
        return False
    is_worded = not parts[-1].endswith(CODE) and WORDED.search(parts[-1]) is not None
    return is_worded or any(map(_is_listed, parts))


def has_secret_content(name: str, head: bytes) -> bool:
    """Return True if the beginning of a file that is no program shows a key."""
    return not name.lower().endswith(CODE) and CONTENT.search(head) is not None


def is_secret_name(name: str) -> bool:
    """Return True if a variable of this name may hold a secret, whatever its value."""
    return bool(ANYWHERE.search(name) or BETWEEN.search(name))


def is_secret_variable(name: str, value: str) -> bool:
    return is_secret_name(name) or without_secrets(value) != value


def secret_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the variables with a value that may be secret."""
    return sorted(name for name, value in environ.items() if value and is_secret_variable(name, value))


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    """Return the text without passwords in addresses, tokens of a known form, private keys, and ``known`` secrets."""
    for secret in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _QUERY.sub(rf"\g<name>{HIDDEN}", _PARTS.sub(HIDDEN, text))


def _is_listed(part: str) -> bool:
    return any(fnmatchcase(part, pattern) for pattern in FILES)


def _is_example(name: str) -> bool:
    return any(word in EXAMPLES for word in re.split("[-_.]", name))
