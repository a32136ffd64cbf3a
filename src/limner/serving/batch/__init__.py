"""Questions in batches: files of requests that a service answers when it has time, at a lower price.

- `lines`: the file format, one request or response a line.
- `service`: the files and batches of an OpenAI-compatible service.
- `pending`: which batches were submitted and not collected yet, so that a killed run pays none twice.
- `engine`: asks through a service, round by round.
- `files`: asks through files that a person carries, to vLLM's `run_batch` and the like.
"""
