"""Model specs: how a person names a model on the command line.

| spec | meaning |
|---|---|
| `embedded` | the default model, run in this process |
| `embedded:NAME` | another model that limner knows (`limner models list`) |
| `embedded:/path/file.gguf` | a GGUF file |
| `http://host:port/v1#MODEL` | any OpenAI-compatible address |
| `openai:MODEL` | OpenAI, or what `OPENAI_BASE_URL` names |
| `vllm:MODEL` | vLLM on this machine, started unless it is up; or the server that `LIMNER_VLLM_URL` names |
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from limner.errors import UsageError

FORMS = "embedded, embedded:NAME, embedded:/path/file.gguf, http://host:port/v1#MODEL, openai:MODEL or vllm:MODEL"

PLAIN_CONCURRENCY = 2
"""Calls at once to an address we know nothing about: local servers often have few slots, and a killed run then repeats
two calls at most."""


@dataclass(frozen=True, slots=True)
class Service:
    """How a kind of OpenAI-compatible service is reached.

    Attributes:
        scheme: What the spec starts with, before the colon.
        address: The base address when no variable names one.
        variable: Environment variable that names another base address.
        key_variables: Environment variables that may hold the key, the first one set is used.
        concurrency: Calls at once to begin with, unless told otherwise.
        most: Calls at once that it grows to while all is answered, unless told otherwise; `concurrency` if None.
        limit_field: The request's field that limits written tokens.
        key_required: Whether the service answers nobody without a key.
        holds_forms: Whether a server there may take vLLM's `structured_outputs` or llama.cpp's `grammar`, which hold an
            answer to a regular expression. Hosted services refuse what they do not know.
    """

    scheme: str
    address: str
    variable: str
    key_variables: tuple[str, ...]
    concurrency: int
    limit_field: str = "max_tokens"
    key_required: bool = False
    most: int | None = None
    holds_forms: bool = False


SERVICES = {
    service.scheme: service
    for service in (
        Service(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_BASE_URL",
            ("OPENAI_API_KEY", "LIMNER_API_KEY"),
            concurrency=8,
            limit_field="max_completion_tokens",
            key_required=True,
            most=32,
        ),
        Service("vllm", "http://127.0.0.1:8000/v1", "LIMNER_VLLM_URL", ("LIMNER_API_KEY",), 16, holds_forms=True),
        # Never OPENAI_API_KEY: a key for OpenAI is not sent to an address that somebody typed.
        Service("http", "", "", ("LIMNER_API_KEY",), PLAIN_CONCURRENCY, holds_forms=True),
    )
}


@dataclass(frozen=True, slots=True)
class EmbeddedSpec:
    """A model run in this process.

    Attributes:
        name: A model's name in the registry, a path of a GGUF file, or empty for the default model.
    """

    name: str = ""


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """A model behind an OpenAI-compatible address.

    Attributes:
        service: What kind of service it is.
        address: The base address, up to and including `/v1`, without a slash at the end.
        model: The model's name there.
    """

    service: Service
    address: str
    model: str

    @property
    def identity(self) -> str:
        """The model's name in the cache key.

        An openai or vllm name says which weights answer, wherever they run. A name at a bare address may be anything
        (`default`), so there the address counts too.
        """
        if self.service.scheme != "http":
            return f"{self.service.scheme}:{self.model}"
        return f"{self.model}@{urlsplit(self.address).netloc}"


@dataclass(frozen=True, slots=True)
class VllmSpec:
    """A model that vLLM runs on this machine; started if it is not up, see `limner.serving.vllm`.

    Attributes:
        model: A model's name in the registry, a path of a folder or a GGUF file, a hub id, or the name under which a
            running server has it.
    """

    model: str


Spec = EmbeddedSpec | HttpSpec | VllmSpec


def parse_spec(text: str) -> Spec:
    """Reads a model spec.

    Raises:
        UsageError: It is none of the known forms, or lacks the model's name.
    """
    text = text.strip()
    if text == "embedded":
        return EmbeddedSpec()
    scheme, _, rest = text.partition(":")
    if scheme == "embedded" and rest:
        return EmbeddedSpec(rest)
    if scheme in ("http", "https"):
        return _parse_address(text)
    if scheme in SERVICES and rest:
        service = SERVICES[scheme]
        named = os.environ.get(service.variable)
        if scheme == "vllm" and not named:
            return VllmSpec(rest)
        address = named or service.address
        return HttpSpec(service, _checked_address(address, service.variable), rest)
    if scheme in ("embedded", *SERVICES):
        raise UsageError(f"The model spec {text!r} names no model. Write {scheme}:NAME.")
    raise UsageError(f"Unknown model spec {text!r}. Use {FORMS}.")


def _parse_address(text: str) -> HttpSpec:
    address, _, model = text.partition("#")
    if not model:
        raise UsageError(f"The model spec {text!r} does not say which model to use there. Write {address}#MODEL.")
    return HttpSpec(SERVICES["http"], _checked_address(address, "the model spec"), model)


def _checked_address(address: str, where: str) -> str:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if good and (parts.username or parts.password):
        raise UsageError(f"The address in {where} has a password in it. Put the key into LIMNER_API_KEY instead.")
    if not good or re.search(r"\s", address):
        raise UsageError(f"{address!r} in {where} is not an address. Write http://host:port/v1.")
    return address.rstrip("/")
