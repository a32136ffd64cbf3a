"""Turns a GGUF file into a Hugging Face folder, which vLLM can load. Run as a script by the interpreter that has vLLM.

It imports nothing of limner, which that interpreter may not have.

Usage: gguf_to_folder.py FILE.gguf FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path


def convert(file: Path, folder: Path) -> None:
    """Writes the weights in bfloat16, the configuration and the tokenizer.

    The tensors are unpacked while the file is read, but the configuration still calls them quantised, and would be
    saved so; a fresh model of the same class takes them over without it.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.bfloat16)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(read)(config).to(torch.bfloat16)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name).save_pretrained(str(folder))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
