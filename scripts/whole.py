#!/usr/bin/env python3
"""Measures the whole program, record and all, on this machine: see docs/performance.md.

    scripts/whole.py overload [RUNS]   does a run say ClientBound when, and only when, it was?
    scripts/whole.py startup  [RUNS]   from the process's start to its first requests
    scripts/whole.py tokenizer RUNS PATH  the same with this tokenizer, to the first prompt
    scripts/whole.py soak     [SECONDS]  1,000 streams: memory over time, and lost records

Needs two cores, a release build (`cargo build --release`), and nothing but Python's own library.
The server is `infermark sim serve` on the last core; infermark runs on the first.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
INFERMARK = str(TARGET / "release" / "infermark")
CORES = sorted(os.sched_getaffinity(0))
CLIENT, SERVER = str(CORES[0]), str(CORES[-1])

# What a user without the right to real-time priorities has.
PLAIN_USER = ["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice"]


@contextmanager
def process(words, **options):
    child = subprocess.Popen(words, **options)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


@contextmanager
def server(spec, folder, *options):
    """Serves; yields the URL."""
    log = Path(folder) / "server.log"
    words = ["taskset", "-c", SERVER, INFERMARK, "sim", "serve", spec, "--address", "127.0.0.1:0"]
    with log.open("w") as out, process([*words, *options], stderr=out, stdout=out):
        while not (found := re.search(r"http://\S+", log.read_text())):
            time.sleep(0.01)
        yield found[0]


def run(url, record, *options, before=()):
    """Makes a run on the client's core; returns run.json."""
    words = ["taskset", "-c", CLIENT, *before, INFERMARK, "run", url, "--quiet"]
    words += ["--format", "json", "--record", str(record), *options]
    done = subprocess.run(words, capture_output=True, text=True)
    if not done.stdout:
        sys.exit(f"no result: {done.stderr}")
    return json.loads(done.stdout)


def hogs(count, *before):
    """Starts processes that never rest, on the client's core."""
    loop = ["sh", "-c", "while :; do :; done"]
    return [process(["taskset", "-c", CLIENT, *before, *loop]) for _ in range(count)]


def overload(runs):
    light = ["--concurrency", "32", "--duration", "2s", "--warmup", "300ms", "--threads", "1",
             "--output-tokens", "16", "--input-tokens", "32"]
    heavy = ["--concurrency", "512", "--duration", "2s", "--warmup", "1s", "--threads", "1",
             "--output-tokens", "64", "--input-tokens", "32"]
    equal = ["chrt", "--rr", "1"]
    cases = [
        ("nothing else on the core", light, [], 0, []),
        ("the same, a heavy load", heavy, [], 0, []),
        ("one busy process of the same real-time priority", light, [], 1, equal),
        ("one ordinary busy process", light, [], 1, []),
        ("no right to real-time priorities, nothing else", light, PLAIN_USER, 0, []),
        ("no right, one ordinary busy process", light, PLAIN_USER, 1, []),
        ("no right, three ordinary busy processes, a heavy load", heavy, PLAIN_USER, 3, []),
    ]
    for name, load, before, count, rank in cases:
        bound, shown = 0, []
        for _ in range(runs):
            with ExitStack() as stack:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                url = stack.enter_context(server("ttft=50ms,itl=10ms", folder))
                for rival in hogs(count, *rank):
                    stack.enter_context(rival)
                result = run(url, Path(folder) / "run", *load, before=before)
            point = result["points"][0]
            codes = [caveat["code"] for caveat in point["trust"]["caveats"]]
            bound += "ClientBound" in codes
            thread = point["client"]["threads"][0]
            shown.append((thread["busy_share"], thread.get("queued_share", 0.0),
                          point["read_delay_ms"]["p99"], point["latency"]["lag_ms"].get("p99", 0)))
        middle = [sorted(column)[runs // 2] for column in zip(*shown)]
        print(f"{name}: ClientBound in {bound} of {runs}; medians: busy {middle[0]:.0%}, waiting "
              f"for a core {middle[1]:.1%}, read delay p99 {middle[2]:.3f} ms, "
              f"lag p99 {middle[3]:.3f} ms", flush=True)


def startup(runs):
    first, load = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            truth = Path(folder) / "truth"
            with server("ttft=1ms,itl=1ms", folder, "--truth", str(truth)) as url:
                began = time.monotonic_ns()
                run(url, Path(folder) / "run", "--concurrency", "4", "--requests", "40",
                    "--output-tokens", "37", "--input-tokens", "32")
            records = [json.loads(line) for line in truth.read_text().splitlines()[1:]]
        arrivals = [(r["arrival_ns"] - began, r["output_tokens"]) for r in records]
        first.append(min(at for at, _ in arrivals) / 1e6)
        load.append(min(at for at, tokens in arrivals if tokens == 37) / 1e6)
    middle = [sorted(column)[runs // 2] for column in (first, load)]
    print(f"from start, ms: to the first request {middle[0]:.1f} ({min(first):.1f} to "
          f"{max(first):.1f}), to the first of the load {middle[1]:.1f} ({min(load):.1f} to "
          f"{max(load):.1f}), over {runs} runs")


def tokenizer(runs, path):
    """The server lists a model and refuses the first prompt, whose coming is what is timed."""
    came = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(200 if self.path == "/v1/models" else 404, b'{"data":[{"id":"any"}]}')

        def do_POST(self):
            came.append(time.monotonic_ns())
            self.answer(401, b"{}")

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    taken = []
    for _ in range(runs):
        came.clear()
        with tempfile.TemporaryDirectory() as folder:
            words = [INFERMARK, "run", url, "--quiet", "--requests", "1", "--tokenizer", path]
            began = time.monotonic_ns()
            subprocess.run(words, capture_output=True, cwd=folder)
        taken.append((came[0] - began) / 1e6)
    print(f"from start to the first prompt, ms: {sorted(taken)[runs // 2]:.0f} "
          f"({min(taken):.0f} to {max(taken):.0f}), over {runs} runs")


def resident(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def soak(seconds):
    """1,000 streams of 5 tokens a second."""
    with tempfile.TemporaryDirectory() as folder:
        truth, record = Path(folder) / "truth", Path(folder) / "run"
        with server("ttft=200ms,itl=200ms", folder, "--truth", str(truth)) as url:
            words = ["taskset", "-c", CLIENT, INFERMARK, "run", url, "--quiet", "--format", "json",
                     "--record", str(record), "--concurrency", "1000", "--threads", "1",
                     "--duration", f"{seconds}s", "--output-tokens", "25", "--input-tokens", "32"]
            with (Path(folder) / "out").open("w") as out:
                child = subprocess.Popen(words, stdout=out)
                began, level = time.monotonic(), []
                while child.poll() is None:
                    # The judgement reads the record back, which takes memory of its own.
                    if 10 < time.monotonic() - began < seconds:
                        level.append(resident(child.pid))
                    time.sleep(1)
            result = json.loads((Path(folder) / "out").read_text())
        sent = [json.loads(line) for line in truth.read_text().splitlines()[1:]]
    point = result["points"][0]
    told = sum(1 for r in sent if r["output_tokens"] == 25)
    tenth = max(1, len(level) // 10)
    mean = lambda part: sum(part) / len(part)
    rows = point["window"]["whole_run"]
    print(f"{seconds} s, 1,000 streams: resident {mean(level[:tenth]):.1f} MiB in the first tenth, "
          f"{mean(level[-tenth:]):.1f} in the last, {max(level):.1f} at most; "
          f"{point['counts']}; the server answered {told} requests of the load; "
          f"trust {point['trust']['verdict']}; {rows}")


def main():
    commands = {"overload": (overload, 20), "startup": (startup, 20), "soak": (soak, 600)}
    if len(sys.argv) == 4 and sys.argv[1] == "tokenizer":
        return tokenizer(int(sys.argv[2]), sys.argv[3])
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    command, default = commands[sys.argv[1]]
    command(int(sys.argv[2]) if len(sys.argv) > 2 else default)


main()
