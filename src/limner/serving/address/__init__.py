"""An OpenAI-compatible address for an engine of this process, so that other programs can use its model.

`limner models serve embedded` opens it. It knows `/v1/models` and `/v1/chat/completions`, listens on this machine only,
and passes all requests to one engine, whose batch they share.
"""
