"""A server that is called as vLLM's is, starts as slowly or badly as FAKE_VLLM says, and answers every question.

FAKE_VLLM is a JSON object: `folder`, where it leaves a file with its arguments and process ids for each start; `slow`,
seconds until it answers; `dies`, what it prints before it ends with status 1; `taken`, for how many starts its port is
taken; `answers`, after how many answers it dies; `stubborn`, whether it takes no notice of SIGTERM.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WAY = json.loads(os.environ.get("FAKE_VLLM", "{}"))


def argument(name):
    return sys.argv[sys.argv.index(name) + 1]


class Handler(BaseHTTPRequestHandler):
    answered = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._send({"object": "list", "data": [{"id": argument("--served-model-name"), "object": "model"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Handler.answered += 1
        if Handler.answered > WAY.get("answers", 1_000_000):
            print("RuntimeError: CUDA out of memory", flush=True)
            os._exit(1)
        message = {"role": "assistant", "content": "heard " + body["messages"][-1]["content"]}
        self._send(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            }
        )

    def _send(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main():
    folder = Path(WAY["folder"])
    starts = len(list(folder.glob("start-*.json")))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # As vLLM's engine is one.
    note = {"argv": sys.argv[1:], "pids": [os.getpid(), child.pid], "environment": dict(os.environ)}
    (folder / f"start-{starts}.json").write_text(json.dumps(note))
    if WAY.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("(APIServer pid=1) INFO 11-23 13:20:27 [x.py:1] Starting to load model", flush=True)
    if starts < WAY.get("taken", 0):
        sys.exit("OSError: [Errno 98] Address already in use")
    time.sleep(WAY.get("slow", 0))
    if WAY.get("dies"):
        child.kill()
        sys.exit(f"Traceback (most recent call last):\n  File x\n{WAY['dies']}")
    print("Application startup complete", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(argument("--port"))), Handler).serve_forever()


main()
