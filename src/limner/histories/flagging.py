"""The rules by which an account looks like no person: what each measures, from where on it counts, and what it says.

Every rule is one query over what users did themselves, so that it scales with the database. A rule alone is enough,
except for a name: `test_account` is written by real people too, and counts only beside behaviour that supports it.
Thresholds are far from what people do in the real sets that limner is tried on, see `docs/flags.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from limner.histories.texts import ACTED, OWN

ACTS_PER_MINUTE = 20
"""Different moments within a minute from which the minute is a busy one: one act every three seconds."""

BUSY_MINUTES = 15
"""Busy minutes within one hour from which nobody keeps up."""

PAUSE_HOURS = 2
"""Hours without any act that count as a pause."""

TIRELESS_HOURS = 30
"""Hours without a pause that nobody stays awake."""

GAPS = 30
"""Gaps between acts that must be known for a rhythm to mean something."""

CLOCKWORK_SHARE = 0.5
"""The share of gaps that are the same, within the times' own precision."""

RECORDED_USERS = 10
RECORDED_SHARE = 0.05
"""So many users, and that share of those whose rhythm is looked at, with one frequent gap: it is that of what records
them (an app that sends its log every 30 seconds), not theirs."""

FREQUENT = 0.1
"""The share of a user's gaps from which one is frequent."""

COARSE = 10
"""How many times the precision of its times a gap must be long: where times are in minutes, a minute says nothing."""

SHARED_BY = 5
"""Users who wrote the same."""

SHARED_TEXTS = 3
"""Such texts a user must have."""

SHARED_SHARE = 0.5
"""Their share of all the texts of that length."""

LEAST = 2
"""Signs, the name among them, that make a test account."""

_TEST_WORDS = "test|tester|testing|testuser|testaccount|demo|dummy|qa|sandbox|loadtest|robot|bot|crawler|spider|monitor"
TEST_NAME = f"(^|[^a-z0-9])({_TEST_WORDS})[0-9]*([^a-z]|$)|测试|演示账|机器人|压测|爬虫|内测"
"""What is in the name of a test account, in lower case."""

TEST_TEXT = "(this is a )?(test|testing|asdf|qwerty|foo|bar|xxx|123+|测试|测试一下|测试数据)[\\s0-9.!。！]*"
"""A whole text that says nothing but that somebody tries something out."""

ACTS = f"""
CREATE OR REPLACE TEMP TABLE acts AS
SELECT DISTINCT user_id, ts FROM events
WHERE {ACTED} AND isfinite(ts) AND ts <> date_trunc('day', ts)
    AND user_id IN (SELECT user_id FROM events GROUP BY user_id HAVING count(*) > {GAPS})
"""
"""The moments at which users did something themselves, those of users with enough of them; days without a time of day
tell nothing about pace."""

_PACE = f"""
SELECT user_id, max(minutes)::DOUBLE AS value, arg_max(acts, minutes) AS more FROM (
    SELECT user_id, date_trunc('hour', minute) AS hour, count(*) AS minutes, sum(n)::BIGINT AS acts FROM (
        SELECT user_id, date_trunc('minute', ts) AS minute, count(*) AS n FROM acts GROUP BY ALL
    ) WHERE n >= {ACTS_PER_MINUTE} GROUP BY ALL
) GROUP BY user_id
"""

_TIRELESS = f"""
SELECT user_id, max(hours) AS value, arg_max(n, hours) AS more FROM (
    SELECT user_id, epoch(max(ts) - min(ts)) / 3600.0 AS hours, count(*) AS n FROM (
        SELECT user_id, ts, count(*) FILTER (pause) OVER (PARTITION BY user_id ORDER BY ts) AS stretch FROM (
            SELECT user_id, ts, ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts) > INTERVAL {PAUSE_HOURS} HOUR
                AS pause FROM acts
        )
    ) GROUP BY user_id, stretch
) GROUP BY user_id
"""

_CLOCKWORK = f"""
WITH gaps AS (
    SELECT user_id, us, us - lag(us) OVER (PARTITION BY user_id ORDER BY us) AS gap
    FROM (SELECT user_id, epoch_us(ts) AS us FROM acts)
),
precise AS (
    SELECT user_id, CASE WHEN bool_and(us % 3600000000 = 0) THEN 3600000000
        WHEN bool_and(us % 60000000 = 0) THEN 60000000
        WHEN bool_and(us % 1000000 = 0) THEN 1000000 ELSE 100000 END AS unit
    FROM gaps GROUP BY user_id HAVING count(gap) >= {GAPS}
),
units AS (
    SELECT user_id, unit, round(gap / unit)::BIGINT AS n FROM gaps JOIN precise USING (user_id) WHERE gap IS NOT NULL
),
counted AS (SELECT user_id, unit, n, count(*) AS times FROM units GROUP BY ALL),
beside AS (
    SELECT user_id, unit, n, sum(times) OVER (PARTITION BY user_id ORDER BY n RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING)
        / sum(times) OVER (PARTITION BY user_id) AS share FROM counted
),
recorded AS (
    SELECT n * unit AS gap FROM beside WHERE share >= {FREQUENT} GROUP BY gap
    HAVING count(*) >= greatest({RECORDED_USERS}, {RECORDED_SHARE} * (SELECT count(*) FROM precise))
)
SELECT user_id, max(share) AS value, arg_max(n * unit / 1e6, share) AS more FROM beside b
WHERE n >= {COARSE} AND n * unit < 72000000000
    AND NOT EXISTS (FROM recorded r WHERE r.gap BETWEEN b.n * b.unit - b.unit AND b.n * b.unit + b.unit)
GROUP BY user_id
"""

_TESTS = f"""
WITH named AS (
    SELECT user_id FROM (
        SELECT user_id, lower(user_id) AS name FROM facts
        UNION ALL
        SELECT user_id, lower(json_extract_string(attrs, '/' || replace(replace(k, '~', '~0'), '/', '~1'))) FROM (
            SELECT user_id, attrs, unnest(json_keys(attrs)) AS k FROM users WHERE attrs <> '{{}}'
        ) WHERE regexp_matches(lower(k), 'name|nick|login|account|e-?mail|昵称|姓名|用户名|账号|邮箱')
    ) WHERE regexp_matches(name, '{TEST_NAME}') GROUP BY user_id
),
said AS (
    SELECT user_id, count(*) FILTER (t <> '') AS texts,
        count(*) FILTER (regexp_full_match(t, '{TEST_TEXT}')) AS tests,
        count(*) FILTER (kind = 'order') AS orders,
        count(*) FILTER (kind = 'order' AND coalesce(amount, price * coalesce(quantity, 1)) <= 0.01) AS free,
        count(*) FILTER (regexp_matches(lower(title), '{TEST_NAME}')) AS items, count(title) AS titled
    FROM (SELECT *, lower(trim(concat_ws(' ', text_title, text))) AS t FROM events WHERE {OWN}) GROUP BY user_id
),
signs AS (
    SELECT user_id, n.user_id IS NOT NULL AS named, texts > 0 AND tests * 2 >= texts AS tests,
        orders > 0 AND free * 2 > orders AS free, titled > 0 AND items * 2 >= titled AS items
    FROM said s LEFT JOIN named n USING (user_id)
)
SELECT user_id, (named::INTEGER + tests::INTEGER + free::INTEGER + items::INTEGER)::DOUBLE AS value,
    concat_ws(', ', CASE WHEN named THEN 'its name' END, CASE WHEN tests THEN 'what it writes' END,
        CASE WHEN free THEN 'orders that cost nothing' END, CASE WHEN items THEN 'items made for tests' END) AS more
FROM signs
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: Its name, as the table `flags` holds it.
        query: SQL that gives `user_id`, `value` (what is measured) and `more` (what the reason says beside it).
        at_least: From where on an account is flagged.
        reason: SQL for the reason, over `value` and `more`.
        what: What the rule looks for, for people.
    """

    name: str
    query: str
    at_least: float
    reason: str
    what: str


def shared_texts(texts: str) -> str:
    """SQL for the rule of shared texts.

    Args:
        texts: SQL that gives `user_id` and `same` (what texts have in common that are nearly the same), a row for each
            event with a text.
    """
    return f"""
    WITH each_text AS ({texts}),
    spread AS (SELECT same, count(DISTINCT user_id) AS users FROM each_text GROUP BY same)
    SELECT user_id, count(*) FILTER (users >= {SHARED_BY}) / count(*) AS value,
        count(*) FILTER (users >= {SHARED_BY}) AS more
    FROM each_text JOIN spread USING (same) GROUP BY user_id HAVING more >= {SHARED_TEXTS}
    """


def rules(texts: str) -> tuple[Rule, ...]:
    """Every rule, the surest first.

    Args:
        texts: As `shared_texts` takes it.
    """
    return (
        Rule(
            "pace",
            _PACE,
            BUSY_MINUTES,
            "printf('%d acts in %d minutes of one hour', more, value::BIGINT)",
            f"at least {ACTS_PER_MINUTE} acts a minute in {BUSY_MINUTES} minutes of one hour",
        ),
        Rule(
            "tireless",
            _TIRELESS,
            TIRELESS_HOURS,
            f"printf('%.0f hours on end without a pause of {PAUSE_HOURS} hours, %d acts', value, more)",
            f"{TIRELESS_HOURS} hours without a pause of {PAUSE_HOURS} hours",
        ),
        Rule(
            "clockwork",
            _CLOCKWORK,
            CLOCKWORK_SHARE,
            "printf('%.0f %% of its acts follow the one before after the same %.0f seconds', 100 * value, more)",
            f"{CLOCKWORK_SHARE:.0%} of at least {GAPS} gaps between acts are the same",
        ),
        Rule(
            "shared_texts",
            shared_texts(texts),
            SHARED_SHARE,
            f"printf('%d of its texts (%.0f %%) were written by {SHARED_BY} users or more', more, 100 * value)",
            f"{SHARED_TEXTS} texts and {SHARED_SHARE:.0%} of all that {SHARED_BY} users or more wrote alike",
        ),
        Rule(
            "test_account",
            _TESTS,
            LEAST,
            "'a test account by ' || more",
            f"{LEAST} of: its name, what it writes, orders that cost nothing, items made for tests",
        ),
    )
