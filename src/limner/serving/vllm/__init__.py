"""vLLM on this machine: started for a run, or found running.

`vllm:MODEL` first looks for a server that has the model (one that `limner models serve` keeps up, or one on port 8000).
If there is none it surveys the machine, turns a GGUF file into a folder that vLLM reads, starts a server on a free
loopback port, waits for it, and ends it with the run. The two scripts in this folder run in the interpreter that has
vLLM, which need not be limner's own.
"""
