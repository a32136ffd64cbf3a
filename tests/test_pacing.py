"""Commits come often at first and seldom in a long run."""

from __future__ import annotations

from limner.histories.pacing import SECONDS, SHARE, Due


def test_commits_of_a_day_are_few_and_a_kill_repeats_little() -> None:
    now, last, commits, longest = 0.0, 0.0, 0, 0.0
    due = Due(lambda: now)
    while now < 86_400:
        now += 1.0
        if due.now():
            commits += 1
            longest = max(longest, now - last - max(SECONDS, SHARE * now))
            last = now
    assert 100 < commits < 400
    assert longest <= 1.0
    assert not due.now()
