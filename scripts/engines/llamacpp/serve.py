"""Serves a GGUF model with llama.cpp's own server, on loopback, until ended: serve.py FILE.gguf PORT

The server is llama.cpp's, compiled into the package xllamacpp; this starts it and waits.
"""

import signal
import sys

import xllamacpp

SLOTS = 4
CONTEXT = 8192


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: serve.py FILE.gguf PORT")
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.model_alias = {"tiny"}
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[2])
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.endpoint_metrics = True
    params.use_jinja = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    signal.pause()


main()
