"""A user's history as numbered lines that fit a token budget."""

from __future__ import annotations

from limner.histories.texts import TextOfUser, user_texts

__all__ = ["TextOfUser", "user_texts"]
