"""Secrets are recognized by their usual names and by their form."""

from __future__ import annotations

import ast
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.engine import describe_change
from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.secret_addresses import create_command
from mlops_cli.core.secrets import (
    has_secret_content,
    hidden,
    is_secret_file,
    is_secret_variable,
    known_secrets,
    secret_variables,
    set_known_secrets,
    without_secrets,
)
from mlops_cli.project.environment import job_environment, server_environment, unpassed_variables, withheld_variables
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.script_secrets import missing_hint
from mlops_cli.project.settings.values import load_settings, resolve
from mlops_cli.project.state_dir import create_state_dir
from tests.conftest import ROOT

SECRET_FILES = """
    .env .env-prod .env_prod .env.local .dev.vars prod.env .ENV .envrc config/.env training/.env .flaskenv
    terraform.tfvars prod.auto.tfvars terraform.tfvars.json terraform.tfstate terraform.tfstate.backup kubeconfig
    kubeconfig.yaml prod.kubeconfig prod-kubeconfig.yaml .kube/config .vault-token .vault_pass.txt vault_pass.txt
    gcp-key.json gcs_key.json deploy-key aws-keys.txt application_default_credentials.json prod-credentials.json
    db_credentials.toml google-credentials.json my.credentials.ini credentials credentials.csv .aws/credentials
    .aws/config alice_accessKeys.csv rootkey.csv service-account.json service_account_prod.json my-serviceaccount.json
    shop-firebase-adminsdk-x1y2z.json client_secret_123.apps.json kaggle.json .kaggle/access_token access_token
    api_token hf-token hf_token.txt token token.json .token api-key api_key.txt openai.api_key.yaml apikeys.json
    private_key private-key.json id_rsa id_rsa.pub id_ed25519_sk deploy_rsa github_ed25519 ssh_host_rsa_key server.pem
    tls/private.KEY cert.p12 cert.pfx AuthKey_ABC.p8 keystore.jks x.keystore vault.kdbx putty.ppk http.keytab vpn.ovpn
    age.agekey backup.gpg .netrc _netrc .pypirc .npmrc .yarnrc.yml .pgpass .my.cnf .mylogin.cnf .boto .s3cfg .htpasswd
    .git-credentials .databrickscfg .terraformrc .dockercfg .dockerconfigjson .docker/config.json .gnupg/secring
    .azure/accessTokens.json .config/gcloud/x passwords.txt db_password.txt passwd secrets.toml secrets.yaml
    .streamlit/secrets.toml k8s-secrets.yml prod.secrets app.secret secrets/db.yaml auth.json x.publishsettings
""".split()  # noqa: SIM905 (to be read)
PLAIN_FILES = """
    README.md training/train.py training/credentials.py training/tests/test_secrets.py keys.py docs/passwords.md
    .env.example .env.sample .env.template example.env credentials.example.json training/vocabulary.csv tokenizer.json
    special_tokens_map.json added_tokens.json tokens.csv config.yaml training/config.json monkey.csv keyboard.txt
    compass.csv passengers.csv secretary.csv authors.json keys.csv training/usecase.toml templates/endpoint.yaml
    public.crt turkey.csv tokenization.txt pinned.txt environment.yml
""".split()  # noqa: SIM905 (to be read)


@pytest.mark.parametrize("name", SECRET_FILES)
def test_a_file_that_may_hold_a_secret(name: str) -> None:
    assert is_secret_file(name)


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_a_file_that_holds_none(name: str) -> None:
    assert not is_secret_file(name)


@pytest.mark.parametrize(
    "content",
    [
        b'{"type": "service_account", "project_id": "p"}',
        b'{\n  "type":"authorized_user"}',
        b"-----BEGIN PRIVATE KEY-----\nMIIE",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
        b"[default]\naws_secret_access_key = abc\n",
        b"//registry.example/:_authToken=abc\n",
        b"users:\n- name: a\n  user:\n    client-key-data: LS0t\n",
    ],
)
def test_a_key_is_seen_in_a_file_of_any_name(content: bytes) -> None:
    assert has_secret_content("my-project-123456-0a1b2c3d4e5f.json", content)
    assert not has_secret_content("training/scanner.py", content), "a program may look for keys"


def own_texts(module: Path) -> Iterator[str]:
    """Yield the texts of a module.

    A value that is filled in becomes a secret's name before an =, else a placeholder.
    """
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            behind = [*parts[1:], ""]
            yield "".join(
                str(part) if part is not None else "DB_PASSWORD" if str(after).startswith("=") else "..."
                for part, after in zip(parts, behind, strict=True)
            )


def test_no_text_of_our_own_is_taken_for_a_secret() -> None:
    texts = [text for module in (ROOT / "mlops_cli").rglob("*.py") for text in own_texts(module)]
    assert len(texts) > 10_000
    assert [text for text in texts if without_secrets(text) != text] == []
    documents = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / ".env.example"]
    lines = [line for document in documents for line in document.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if without_secrets(line) != line] == []


@pytest.mark.parametrize(
    "hint",
    [
        missing_hint(["AWS_SECRET_ACCESS_KEY"]),
        create_command("/mlops/shop-dev/DB_PASSWORD"),
        "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...",
        'DB_PASSWORD="..." mlops run',
        "curl -H 'Authorization: Bearer ...' 'https://host/x?token=...&rows=3'",
        "mlops download-data --source https://user:password@host/...",
    ],
)
def test_a_placeholder_is_not_hidden(hint: str) -> None:
    assert without_secrets(hint) == hint


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DB_PASSWORD=...x7", "DB_PASSWORD=…"),
        ("DB_PASSWORD=....", "DB_PASSWORD=…"),
        ("https://host/x?token=...x7", "https://host/x?token=…"),
        ("https://user:password1@host/", "https://…@host/"),
        ("https://me:password@host/", "https://…@host/"),
        ("https://user:password@evil@host/", "https://…@host/"),
    ],
)
def test_a_value_that_only_begins_like_a_placeholder_is_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_usual_content_is_no_secret() -> None:
    assert not has_secret_content("a.json", b'{"type": "service", "key": 1}\n-----BEGIN CERTIFICATE-----\n')


SECRET_VARIABLES = {
    **dict.fromkeys(
        """
        HF_TOKEN OPENAI_API_KEY OPENAI_APIKEY MY_APIKEY WANDB_API_KEY AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
        AWS_ACCESS_KEY_ID KAGGLE_KEY DB_PASS DB_PASSWORD MYSQL_PWD PGPASSWORD PGPASSFILE GPG_PASSPHRASE GITHUB_PAT
        NPM_AUTH REGISTRY_AUTH AZURE_STORAGE_CONNECTION_STRING AZURE_CLIENT_SECRET SENTRY_DSN SLACK_WEBHOOK_URL
        GOOGLE_APPLICATION_CREDENTIALS SNOWFLAKE_PRIVATE_KEY_PATH JWT SESSION_COOKIE STORAGE_SAS ADMIN_LOGIN
        AZURE_CREDS KUBECONFIG SSH_AUTH_SOCK SIGNING_KEY db_password TF_VAR_db_password KERAS_TOKEN license_key
        """.split(),  # noqa: SIM905 (to be read)
        "x1",
    ),
    "DATABASE_URL": "postgres://app:pw@db/app",
    "REDIS_URL": "redis://:pw@cache:6379/0",
    "BROKER": "amqp://user:p%40ss@mq//",
    "MLFLOW_TRACKING_URI": "https://user:pa/ss@mlflow.example/x",
    "DATA_URL": "https://bucket.example/x.csv?sig=abc&sv=1",
    "ANYTHING": "ghp_" + "a" * 36,
    "SA": '{"private_key": "-----BEGIN PRIVATE KEY-----\\nMII"}',
}
PLAIN_VARIABLES = {
    **dict.fromkeys(
        """
        PATH HOME PWD OLDPWD LANG KEYBOARD MONKEY COMPASS AUTHOR TF_CPP_MIN_LOG_LEVEL OMP_NUM_THREADS PINNED
        """.split(),  # noqa: SIM905 (to be read)
        "x1",
    ),
    "DATABASE_URL": "postgres://db/app",
    "URL": "http://127.0.0.1:8080/users/@me",
    "MAIL": "a@b.example",
    "IPV6": "http://[::1]:80/",
}


@pytest.mark.parametrize("name", SECRET_VARIABLES)
def test_a_variable_that_may_hold_a_secret(name: str) -> None:
    assert is_secret_variable(name, SECRET_VARIABLES[name])


@pytest.mark.parametrize("name", PLAIN_VARIABLES)
def test_a_variable_that_holds_none(name: str) -> None:
    assert not is_secret_variable(name, PLAIN_VARIABLES[name])


def test_no_secret_reaches_scripts_or_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        **SECRET_VARIABLES,
        "TF_VAR_url": "https://u:pw@h/",
        "https_proxy": "http://u:pw@proxy",
    }.items():
        monkeypatch.setenv(name, value)
    environment = job_environment({}, Path("/training"), PassedVariables())
    assert [*secret_variables(environment)] == ["https_proxy"], "without the proxy there is no network"
    assert secret_variables(server_environment()) == []
    assert {*SECRET_VARIABLES, "TF_VAR_url"} <= {*withheld_variables(PassedVariables())}
    assert "HF_TOKEN" in job_environment({}, Path("/training"), PassedVariables(("HF_TOKEN",)))
    assert "HF_TOKEN" not in withheld_variables(PassedVariables(("HF_TOKEN",)))
    assert "HF_TOKEN" not in withheld_variables(PassedVariables(secrets={"HF_TOKEN": ""}))


def test_the_endpoint_gets_the_short_list_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMLESS", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert "HARMLESS" not in server_environment()
    assert server_environment()["OMP_NUM_THREADS"] == "2"
    assert "PYTHONHASHSEED" not in server_environment(), "a server's hashes are not to be predicted"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://user:pa/ss@mlflow.example/x", "at https://…@mlflow.example/x"),
        ("at https://user:p@ss@h/x failed", "at https://…@h/x failed"),
        ("there is no file ftp://u:p@host/f.csv", "there is no file ftp://…@host/f.csv"),
        ("https://token123@github.example/a.git", "https://…@github.example/a.git"),
        ("GET https://h/x?a=1&token=abc&b=2", "GET https://h/x?a=1&token=…&b=2"),
        ("https://h/x?X-Amz-Signature=abc#f", "https://h/x?X-Amz-Signature=…#f"),
        ("sent hf_" + "a" * 34 + ".", "sent …."),
        ("Authorization: Bearer eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "Authorization: Bearer …"),
        ("key:\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nend", "key:\n…\nend"),
        ("login failed: password=hunter2 for bob", "login failed: password=… for bob"),
        ('{"db_password": "hun\\"ter2", "epochs": 1}', '{"db_password": …, "epochs": 1}'),
        ("{'api_key': 'abc', 'max_tokens': 512}", "{'api_key': …, 'max_tokens': 512}"),
        ("['mysql', '--password', 'hunter2', 'x']", "['mysql', '--password', …, 'x']"),
        ("run --client-secret hunter now", "run --client-secret … now"),
        ("usage: x [--api-key API_KEY]", "usage: x [--api-key API_KEY]"),
        ("password: hunter2!", "password: …"),
        ("Invalid password: authentication failed", "Invalid password: authentication failed"),
        ("Server=x;Uid=sa;Pwd=abc;", "Server=x;Uid=sa;Pwd=…;"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic …"),
        ("sent Bearer abcdef1234", "sent Bearer …"),
        ("AKIAABCDEFGHIJKLMNOP is bad", "… is bad"),
        ("eos_token=</s> tokens=3 token=5 key=val", "eos_token=</s> tokens=3 token=5 key=val"),
        ("KeyError: 'HF_TOKEN'", "KeyError: 'HF_TOKEN'"),
        ("http://127.0.0.1:8080/users/@me", "http://127.0.0.1:8080/users/@me"),
        ("mail a@b.example, see https://h/x?page=2", "mail a@b.example, see https://h/x?page=2"),
        ("s3://bucket/key, arn:aws:iam::1:role/x", "s3://bucket/key, arn:aws:iam::1:role/x"),
    ],
)
def test_a_message_shows_no_secret(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_values_of_dotenv_and_of_the_environment_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("OTHER_TOOL_API_KEY=abcdefgh1234\nKAGGLE_KEY=kkkkkkkk\nSTAGE=prod\n")
    monkeypatch.setenv("DB_PASSWORD", "correct horse")
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    monkeypatch.setenv("MLOPS_KEY_PREFIX", "churn-dev/")
    monkeypatch.setenv("DATABASE_URL", "postgres://app:p%40ssword1@db/app")
    monkeypatch.setenv("DEPLOY_KEY", "-----BEGIN X-----\nMIIEvQIBADAN\n-----END X-----")
    set_known_secrets(load_settings(tmp_path / ".env", {}).secrets)
    message = (
        "refused: abcdefgh1234, kkkkkkkk, correct horse, correct%20horse, prod, /home/me/.kube/config, churn-dev/1"
    )
    assert without_secrets(message) == "refused: …, …, …, …, prod, /home/me/.kube/config, churn-dev/1"
    assert without_secrets("p@ssword1 and p%40ssword1\nMIIEvQIBADAN") == "… and …\n…"
    document = {"a": ["kkkkkkkk", 1, None], "train.api_key": "x", "api_key": 3, "keys": ("kkkkkkkk!",)}
    assert hidden(document) == {"a": ["…", 1, None], "train.api_key": "…", "api_key": 3, "keys": ["…!"]}
    set_known_secrets(())
    assert without_secrets(message) == message


def test_the_change_of_a_secret_hyperparameter_is_named_without_its_values() -> None:
    assert describe_change("train.api_key", {"train.api_key": "a"}, {"train.api_key": "b"}) == "train.api_key changed"


def test_config_hides_secrets_in_an_address() -> None:
    settings = resolve({}, {"MLFLOW_TRACKING_URI": "https://me:a/b@h/x?token=abc"}, {})
    assert settings.to_dict()["MLFLOW_TRACKING_URI"]["value"] == "https://…@h/x?token=…"


def test_the_arn_of_a_key_or_secret_is_a_name_and_shown() -> None:
    arn = "arn:aws:kms:us-east-1:111122223333:key/36b5f376-003f-44ea-ba43-b796b463b63f"
    assert known_secrets([("KMS_KEY_ARN", arn), ("API_KEY", "0123456789abcdef")]) == {"0123456789abcdef"}


def test_a_script_that_misses_a_variable_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "x")
    monkeypatch.setenv("MODE", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    output = "KeyError: 'MODE'\nplease set HF_TOKEN, OMP_NUM_THREADS or NOT_SET_HERE in TERM"
    assert unpassed_variables(output, PassedVariables()) == ["HF_TOKEN", "MODE"]
    assert unpassed_variables(output, PassedVariables(("HF_TOKEN", "MODE"))) == []


def test_the_state_is_its_users_alone(tmp_path: Path) -> None:
    project = Project(tmp_path)
    create_state_dir(project)
    assert stat.S_IMODE(project.state.stat().st_mode) == 0o700
    project.state.chmod(0o755)
    create_state_dir(project)
    assert stat.S_IMODE(project.state.stat().st_mode) == 0o700
