"""Load the configuration: one YAML file, variables in its values, overrides by environment variables, all faults at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from app.config.reading import (
    LOCAL_UP,
    REPOSITORY,
    Draft,
    Given,
    config_error,
    faults_in,
    parse_yaml,
    read_text,
    resolve,
    show_path,
    unknown_key,
)
from app.config.sections import (
    SECTIONS,
    DimensionsConfig,
    LoggingConfig,
    MartsConfig,
    MySqlConfig,
    RetentionConfig,
    S3Config,
    Section,
    SparkConfig,
    StreamConfig,
    TopLevel,
)
from app.errors import ConfigError

__all__ = [
    "Config",
    "DimensionsConfig",
    "LoggingConfig",
    "MartsConfig",
    "MySqlConfig",
    "S3Config",
    "Setting",
    "SparkConfig",
    "StreamConfig",
]
__all__ += ["describe", "home_of", "load_config"]

_OVERRIDE = "SALESTREAM__"
_SECRET_NAME = re.compile(r"secret|password|passwd|token|credential|private", re.IGNORECASE)
_NOTHING = Given("", None, "", literal=False)


class Config(BaseModel):
    """The whole configuration of one environment.

    Attributes:
        text: the file as it was read.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    env: str
    s3: S3Config
    mysql: MySqlConfig
    stream: StreamConfig = StreamConfig()
    dimensions: DimensionsConfig = DimensionsConfig()
    marts: MartsConfig = MartsConfig()
    retention: RetentionConfig = RetentionConfig()
    spark: SparkConfig = SparkConfig()
    logging: LoggingConfig = LoggingConfig()
    embedded: bool = False
    conf_dir: Path = REPOSITORY / "conf"
    contract_path: Path = REPOSITORY / "conf" / "contract.yml"
    home: Path = REPOSITORY / ".local"
    checkpoint_root: Path
    origins: Mapping[str, str] = Field(default_factory=dict, repr=False)
    text: str = Field(default="", repr=False)


class Setting(NamedTuple):
    """One effective value, as `config show` prints it."""

    key: str
    value: str
    origin: str


def home_of(environ: Mapping[str, str] | None = None) -> Path:
    """Give the folder of local state: $SALESTREAM_HOME, or `.local` in the repository."""
    name = (os.environ if environ is None else environ).get("SALESTREAM_HOME", "").strip()
    return Path(name).expanduser().absolute() if name else REPOSITORY / ".local"


def load_config(
    env: str,
    *,
    conf_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    text: str | None = None,
) -> Config:
    """Load `conf/<env>.yml`, fill in variables, apply overrides, decrypt and check everything.

    Args:
        env: the name of the environment: dev, qa, prod or another file in the folder.
        conf_dir: the folder; `conf` in the repository where left out.
        environ: the environment variables; those of the process where left out.
        defaults: variables of the embedded servers; only used by a file with `embedded: true`.
        text: the file as another process has read it, whatever it holds by now; read again where left out.

    Raises:
        ConfigError: anything is wrong; it names every fault with its file or variable and its key.
    """
    environ = os.environ if environ is None else environ
    conf_dir = (REPOSITORY / "conf" if conf_dir is None else conf_dir).absolute()
    path = conf_dir / f"{env}.yml"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", env) or (text is None and not path.is_file()):
        known = ", ".join(sorted(p.stem for p in conf_dir.glob("*.yml") if p.stem != "contract"))
        raise ConfigError(f"there is no {show_path(conf_dir)}/{env}.yml", cure=f"choose an environment: {known or 'none is there'}")
    draft = Draft(environ, defaults or {})
    text = read_text(path) if text is None else text
    given = _from_file(parse_yaml(text, path), show_path(path), draft) | _from_overrides(environ, draft)
    draft.embedded = "embedded" in given and str(given["embedded"].value).strip().lower() in ("true", "yes", "on", "1", "t", "y")
    # AWS keys in a developer's shell belong to AWS: without an endpoint beside them they are not for the embedded server.
    own_endpoint = environ.get("AWS_ENDPOINT_URL_S3") or given.get("s3.endpoint_url", _NOTHING).literal
    draft.ignores_aws = draft.embedded and bool(draft.defaults) and not own_endpoint
    for item in given.values():
        resolve(item, draft)
    top, sections = _build(given, show_path(path), draft)
    if draft.faults:
        cure = f"{LOCAL_UP}, or set the variables; and mend any other key named" if draft.needs_local else None
        raise config_error(list(draft.faults.values()), cure=cure)
    return _assemble(env, conf_dir, environ, top, sections, draft.origins).model_copy(update={"text": text})


def describe(config: Config) -> list[Setting]:
    """List every effective value with where it came from; secrets and encrypted values show as ***."""
    parts: list[tuple[str, BaseModel, list[str]]] = [("", config, list(TopLevel.model_fields))]
    parts += [(f"{name}.", getattr(config, name), list(model.model_fields)) for name, model in SECTIONS.items()]
    settings = []
    for prefix, part, names in parts:
        for name in names:
            origin = config.origins.get(prefix + name, "default")
            settings.append(Setting(prefix + name, _show(getattr(part, name), _is_hidden(origin)), origin))
    return settings


def _known_keys() -> list[str]:
    return list(TopLevel.model_fields) + [f"{name}.{key}" for name, model in SECTIONS.items() for key in model.model_fields]


def _from_file(tree: Mapping[str, Any], place: str, draft: Draft) -> dict[str, Given]:
    given = {}
    for name, value in tree.items():
        if name in SECTIONS and not isinstance(value, dict | None):
            draft.faults[name] = f"{place}: {name}: must be a mapping of keys to values"
            continue
        entries = {f"{name}.{key}": item for key, item in (value or {}).items()} if name in SECTIONS else {str(name): value}
        for key, item in entries.items():
            if key in _known_keys():
                given[key] = Given(key, item, f"{place}: {key}", literal=False)
            else:
                draft.faults[key] = f"{place}: {key}: {unknown_key(key, _known_keys() + list(SECTIONS))}"
    return given


def _from_overrides(environ: Mapping[str, str], draft: Draft) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for name in sorted(environ):
        if not name.upper().startswith(_OVERRIDE):
            continue
        key = name[len(_OVERRIDE) :].lower().replace("__", ".")
        if key not in _known_keys():
            names = {known: _OVERRIDE + known.upper().replace(".", "__") for known in _known_keys()}
            draft.faults[name] = f"{name}: {unknown_key(_OVERRIDE + name[len(_OVERRIDE) :].upper(), list(names.values()))}"
        elif key in given:
            draft.faults[name] = f"{name}: sets {key} a second time, after {given[key].place}"
        else:
            given[key] = Given(key, environ[name], name, literal=True)
    return given


def _build(given: Mapping[str, Given], place: str, draft: Draft) -> tuple[TopLevel, dict[str, Section]]:
    built: dict[str, Section] = {}
    models: dict[str, type[Section]] = {"": TopLevel, **SECTIONS}
    for name, model in models.items():
        prefix = f"{name}." if name else ""
        values = {key: draft.values[prefix + key] for key in model.model_fields if prefix + key in draft.values}
        hide = frozenset(key for key in values if _is_secret(model, key) or _is_hidden(draft.origins[prefix + key]))
        try:
            built[name] = model.model_validate(values)
        except ValidationError as exc:
            for key, message in faults_in(exc, hide=hide):
                source = given.get(prefix + key.split(".")[0])
                draft.faults.setdefault(prefix + key, f"{source.place if source else f'{place}: {prefix}{key}'}: {message}")
    top = built.pop("", None)
    return top if isinstance(top, TopLevel) else TopLevel(), built


def _is_secret(model: type[BaseModel], key: str) -> bool:
    return key == "conf" or "Secret" in str(model.model_fields[key].annotation)


def _is_hidden(origin: str) -> bool:
    """Tell whether a value came from a token, or from a variable whose name says that it is secret."""
    return "encrypted" in origin or bool(re.search(r"\$\w*(SECRET|PASSW|TOKEN|CREDENTIAL|PRIVATE)", origin, re.IGNORECASE))


def _assemble(
    env: str, conf_dir: Path, environ: Mapping[str, str], top: TopLevel, sections: Mapping[str, Any], origins: Mapping[str, str]
) -> Config:
    home = home_of(environ)
    parts = dict(sections)
    log_file, ca = parts["logging"].file, parts["mysql"].tls_ca
    parts["logging"] = parts["logging"].model_copy(update={"file": log_file and home / log_file.expanduser()})
    parts["mysql"] = parts["mysql"].model_copy(update={"tls_ca": ca and conf_dir / ca.expanduser()})
    return Config(
        env=env,
        embedded=top.embedded,
        conf_dir=conf_dir,
        contract_path=conf_dir / top.contract_path.expanduser(),
        home=home,
        checkpoint_root=(home if environ.get("SALESTREAM_HOME", "").strip() else REPOSITORY) / "checkpoints" / env,
        origins=dict(origins),
        **parts,
    )


def _show(value: Any, hidden: bool) -> str:
    if value is None:
        return "-"
    if hidden or isinstance(value, SecretStr):
        return "***"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={'***' if _SECRET_NAME.search(key) else item}" for key, item in value.items()) or "-"
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
