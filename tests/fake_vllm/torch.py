"""As much of torch as the survey and the conversion need: cards as FAKE_GPUS says, and a number type."""

import os
from types import SimpleNamespace

bfloat16 = "bfloat16"
_COUNT = int(os.environ.get("FAKE_GPUS", "0"))
cuda = SimpleNamespace(
    is_available=lambda: _COUNT > 0,
    device_count=lambda: _COUNT,
    get_device_properties=lambda number: SimpleNamespace(total_memory=80 * 10**9, major=9, minor=0),
)
