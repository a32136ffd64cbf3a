"""The agents: each a folder that asks a model something, checks the answer in code, and hands on what holds."""
