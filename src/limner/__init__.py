"""limner: from raw customer histories to personas you can trust.

Example:
    import limner

    workspace = limner.Workspace(".limner")
    workspace.ingest("reviews.csv")
    workspace.extract()
    print(workspace.persona("u1").narrative)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.workspace import Workspace

__version__ = "0.1.0"
__all__ = ["Workspace", "__version__"]


def __getattr__(name: str) -> Any:
    """Loads the API on first use, so that `import limner` stays quick."""
    if name == "Workspace":
        from limner.workspace import Workspace

        return Workspace
    raise AttributeError(f"module 'limner' has no attribute {name!r}")
