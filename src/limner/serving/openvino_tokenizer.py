"""The tokenizer of a GGUF file, as OpenVINO GenAI reads it, without the model.

It is kept in the engine's own form: to make it from the file takes the engine longer than to load the model itself (7
of 12 seconds for the default model), and a GB more of memory; to read what was kept takes a fifth of a second. What is
kept is derived: if it is missing or cannot be read, it is made anew.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from limner.serving.request import Message
from limner.serving.weights import models_folder, remembered_sha256

FILES = tuple(f"openvino_{part}.{end}" for part in ("tokenizer", "detokenizer") for end in ("xml", "bin"))
"""What the engine writes and reads, 8 MB together."""


_SPECIAL = re.compile(
    r"<\|[^<>\s]+\|>|</?(?:[a-z]+_[a-z_]+|s|bos|eos|pad|unk|think)>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS)\]"
)
"""What tokens with a meaning of their own look like in the models' vocabularies."""


class OpenVinoTokenizer:
    """A model's tokenizer and chat template.

    Attributes:
        own: The engine's object.
        end: The token that ends an answer.
    """

    def __init__(self, path: Path) -> None:
        """Reads the tokenizer of a GGUF file.

        Raises:
            ImportError: The engine is not installed here.
            RuntimeError: It cannot read the file.
        """
        import openvino_genai

        self.own = _tokenizer_of(openvino_genai, path)
        self.end = int(self.own.get_eos_token_id())
        self._control = control_tokens(self.own.get_vocab())

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens, by the model's own chat template.

        Control tokens that stand in a message's text are broken up first, so that no text can end its own message.
        """
        return self.encoded(self.own.apply_chat_template(turns(messages, self._control), add_generation_prompt=True))

    def encoded(self, text: str) -> list[int]:
        """The tokens of a text as it stands."""
        encoded = self.own.encode(text, add_special_tokens=False)
        return [int(token) for token in encoded.input_ids.data[0]]


def control_tokens(vocabulary: Iterable[Any]) -> re.Pattern[str]:
    """A pattern of the control tokens of a vocabulary."""
    names = {os.fsdecode(t) if isinstance(t, bytes) else str(t) for t in vocabulary}
    found = sorted((name for name in names if _SPECIAL.fullmatch(name)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found)) or r"(?!)")


def turns(messages: Sequence[Message], control: re.Pattern[str]) -> list[dict[str, str]]:
    """Messages as a chat template takes them, control tokens in their texts broken up."""
    return [{"role": m.role, "content": control.sub(_broken, m.content)} for m in messages]


def _broken(match: re.Match[str]) -> str:
    """A control token with a space after its first character."""
    return f"{match[0][0]} {match[0][1:]}"


def _tokenizer_of(genai: Any, path: Path) -> Any:
    """The engine's tokenizer, read from the models folder, or made from the file and put there.

    Args:
        genai: The engine's package, `openvino_genai`.
        path: The GGUF file.

    Raises:
        RuntimeError: The engine cannot make one from the file.
    """
    try:
        folder = _folder(path)
        with suppress(RuntimeError):
            if all((folder / name).is_file() for name in FILES):
                return genai.Tokenizer(str(folder))
        shutil.rmtree(folder, ignore_errors=True)
        return _made(genai, path, folder)
    except (OSError, RuntimeError):  # A folder that cannot be written: it is made each time.
        return genai.Tokenizer(str(path))


def _folder(path: Path) -> Path:
    """Where it is kept: by the file's contents and the engine's version, which decides the form."""
    name = f"{path.stem[:80]}.{remembered_sha256(path)[:12]}.tokenizer-{version('openvino-genai')}"
    return models_folder() / name


def _made(genai: Any, path: Path, folder: Path) -> Any:
    """Makes the tokenizer and keeps it, whole or not at all.

    The engine writes it beside the file that it reads, under names that are the same for every model: so it is given
    the file under another name in a folder of its own.

    Raises:
        OSError: It cannot be kept.
        RuntimeError: The engine cannot make it, or not keep it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tokenizer-", ignore_cleanup_errors=True) as name:
        made = Path(name) / "made"
        made.mkdir()
        link = made / "model.gguf"
        try:
            link.symlink_to(path.resolve())
        except OSError:  # Where links need a privilege that files do not.
            os.link(path, link)
        tokenizer = genai.Tokenizer(str(link), enable_save_ov_model=True)
        link.unlink()
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # Another process was quicker.
                raise
    return tokenizer
