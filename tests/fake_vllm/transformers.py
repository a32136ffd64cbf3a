"""As much of transformers as the survey and the conversion need."""

import json
from pathlib import Path
from types import SimpleNamespace


class AutoConfig:
    @staticmethod
    def from_pretrained(model):
        config = json.loads((Path(model) / "config.json").read_text())
        return SimpleNamespace(get_text_config=lambda: SimpleNamespace(**config))


class Model:
    def __init__(self, config):
        self.config = config
        self.state = {}

    def to(self, dtype):
        return self

    def state_dict(self):
        return {"weight": [1.0]}

    def load_state_dict(self, state):
        self.state = state

    def save_pretrained(self, folder):
        Path(folder).mkdir()
        assert not hasattr(self.config, "quantization_config")
        (Path(folder) / "config.json").write_text(
            json.dumps({"max_position_embeddings": 512, "num_attention_heads": 14})
        )
        (Path(folder) / "model.safetensors").write_text(json.dumps(self.state))


class AutoModelForCausalLM:
    @staticmethod
    def from_pretrained(folder, *, gguf_file, dtype):
        if "broken" in gguf_file:
            raise ImportError("Please install gguf>=0.10.0 to load a GGUF checkpoint")
        return Model(SimpleNamespace(quantization_config="gguf"))


class AutoTokenizer:
    @staticmethod
    def from_pretrained(folder, *, gguf_file):
        return SimpleNamespace(save_pretrained=lambda to: (Path(to) / "tokenizer.json").write_text("{}"))
