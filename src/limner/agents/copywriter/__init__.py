"""The copywriter writes variants for a segment from a product sheet, and shows how each did in the checks."""

from limner.agents.copywriter.run import write_copy
from limner.agents.copywriter.schema import Check, CopySet, ProductSheet, Variant, read_product

__all__ = ["Check", "CopySet", "ProductSheet", "Variant", "read_product", "write_copy"]
