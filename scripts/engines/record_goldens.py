"""Records what vLLM really answers, as test data for crate `wire`: record_goldens.py MODEL_DIR OUT_DIR

Serves the model of make_tiny_model.py with several sets of options, on free loopback ports, and sends each request
below over a plain socket. For each it writes three files to OUT_DIR: NAME.request.json (what was sent), NAME.http (the
response's bytes as they came, head and HTTP framing included) and NAME.json (the facts that a decoder must find in
them). The facts are computed here, by code that shares nothing with the project's decoder: this is the oracle. Python's
standard library is all that it needs.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KEY = "tiny-key"
KEYED = {"Authorization": f"Bearer {KEY}"}
USER = [{"role": "user", "content": "Hello there"}]
FINAL = {"include_usage": True}
CONTINUOUS = {"include_usage": True, "continuous_usage_stats": True}
MESSAGE_END, THINK_END = "2", "8191"  # token ids of make_tiny_model.py
SILENCE = {"max_tokens": 4, "logit_bias": {MESSAGE_END: 100}}  # nothing but ends of sequence
ENDLESS = 400  # tokens: more than are generated while a process is being ended
ESCAPED = 'a "quoted" \\ back\\nslash,\n\ttab, caf\u00e9, \u4f60\u597d, \U0001f600 </s> \u2028'


# === The requests ===


def exactly(tokens):
    return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}


def saying(text):
    """Exactly this text, and then the end that the model chooses itself."""
    return {"max_tokens": 64, "structured_outputs": {"choice": [text]}}


def request(path, body=None, api=None, delivery=None, headers={}):
    """A request; `body` is JSON, or a string that is sent as it stands. `api` says whose response is expected."""
    method = "GET" if body is None else "POST"
    return {"method": method, "path": path, "headers": headers, "body": body, "api": api, "delivery": delivery}


def generation(path, api, delivery, body, headers):
    stream = {"stream": True} if delivery == "streamed" else {}
    return request(path, {"model": "tiny", "seed": 1, **body, **stream}, api, delivery, headers)


def chat(delivery, length, headers={}, **more):
    body = {"messages": USER, **length, **more}
    return generation("/v1/chat/completions", "chat", delivery, body, headers)


def completions(delivery, length, headers={}, prompt="Hello there", **more):
    body = {"prompt": prompt, **length, **more}
    return generation("/v1/completions", "completions", delivery, body, headers)


def plain_requests(token_ids):
    """Requests for the server with default options. `token_ids` gives those of a text."""
    halves = {"allowed_token_ids": token_ids("é"), "seed": 5, "stream_options": CONTINUOUS}
    numbered = {"prompt": [1000, 1001, 1002, 1003, 1004], "stream_options": FINAL}
    # Temperature 0 makes this model repeat itself; after this prompt, the second byte of a character for ever.
    silent = {"prompt": [101, 102, 103, 104, 105], "temperature": 0, "stream_options": CONTINUOUS}
    closing = {"Connection": "close"}
    return {
        "chat-streamed-usage-final": chat("streamed", exactly(8), stream_options=FINAL),
        "chat-streamed-usage-continuous": chat("streamed", exactly(8), stream_options=CONTINUOUS),
        "chat-streamed-usage-none": chat("streamed", exactly(8)),
        "chat-streamed-token-ids": chat("streamed", exactly(8), stream_options=FINAL, return_token_ids=True),
        "chat-streamed-logprobs": chat("streamed", exactly(4), stream_options=FINAL, logprobs=True, top_logprobs=1),
        "chat-streamed-one-token": chat("streamed", exactly(1), stream_options=CONTINUOUS),
        "chat-streamed-cut": chat("streamed", {"max_tokens": 5}, stream_options=FINAL),
        "chat-streamed-natural-stop": chat("streamed", saying("Good day."), stream_options=FINAL),
        "chat-streamed-stop-at-once": chat("streamed", SILENCE, stream_options=CONTINUOUS),
        "chat-streamed-stop-string": chat("streamed", {"max_tokens": 64}, stream_options=FINAL, stop=["e"]),
        "chat-streamed-unseen-tokens": chat("streamed", {**SILENCE, "ignore_eos": True}, stream_options=CONTINUOUS),
        "chat-streamed-half-characters": chat("streamed", exactly(12), **halves),
        "chat-streamed-escapes": chat("streamed", saying(ESCAPED), stream_options=CONTINUOUS),
        "chat-streamed-closed": chat("streamed", exactly(4), closing, stream_options=FINAL),
        "chat-whole": chat("whole", exactly(8)),
        "chat-whole-natural-stop": chat("whole", saying("Good day.")),
        "chat-whole-escapes": chat("whole", saying(ESCAPED)),
        "chat-whole-closed": chat("whole", exactly(8), closing),
        "completions-streamed-usage-final": completions("streamed", exactly(8), stream_options=FINAL),
        "completions-streamed-usage-continuous": completions("streamed", exactly(8), stream_options=CONTINUOUS),
        "completions-streamed-usage-none": completions("streamed", exactly(8)),
        "completions-streamed-token-prompt": completions("streamed", exactly(8), **numbered),
        "completions-streamed-token-ids": completions("streamed", exactly(8), **numbered, return_token_ids=True),
        "completions-streamed-logprobs": completions("streamed", exactly(4), stream_options=FINAL, logprobs=1),
        "completions-streamed-natural-stop": completions("streamed", saying("Good day."), stream_options=FINAL),
        "completions-streamed-half-characters": completions("streamed", exactly(12), **halves),
        "completions-streamed-silent": completions("streamed", exactly(8), **silent),
        "completions-whole": completions("whole", exactly(8)),
        "completions-whole-natural-stop": completions("whole", saying("Good day.")),
        "refused-unknown-model": chat("streamed", exactly(8), model="nobody"),
        "refused-max-tokens-negative": completions("streamed", {"max_tokens": -1}),
        "refused-max-tokens-over-context": chat("streamed", {"max_tokens": 9000}),
        "refused-broken-json": request("/v1/completions", '{"model":"tiny"', "completions", "streamed"),
        "refused-wrong-type": chat("streamed", exactly(8), messages=7),
        "refused-wrong-path": {**chat("streamed", exactly(8)), "path": "/chat/completions"},
        "refused-wrong-method": request("/v1/chat/completions", None, "chat", "streamed"),
        "call-models": request("/v1/models"),
        "call-version": request("/version"),
        "call-health": request("/health"),
        "call-tokenize-prompt": request("/tokenize", {"model": "tiny", "prompt": "Hello there"}),
        "call-tokenize-messages": request("/tokenize", {"model": "tiny", "messages": USER}),
        "call-detokenize": request("/detokenize", {"model": "tiny", "tokens": [1000, 1001, 1002]}),
    }


def keyed_requests():
    """Requests for the server with a key, a parser of reasoning, and a context of 512 tokens."""
    thinking = {"logit_bias": {THINK_END: 5}, "seed": 5}
    return {
        "chat-streamed-reasoning": chat("streamed", exactly(12), KEYED, stream_options=CONTINUOUS, **thinking),
        "chat-whole-reasoning": chat("whole", exactly(12), KEYED, **thinking),
        "refused-no-key": chat("streamed", exactly(8)),
        "refused-wrong-key": chat("streamed", exactly(8), {"Authorization": "Bearer another"}),
        "refused-prompt-over-context": completions("streamed", {}, KEYED, prompt=[7] * 600),
    }


def tool_requests(token_ids):
    """Requests for the server with a parser of tool calls. `token_ids` gives those of a text."""
    cities = {"type": "object", "properties": {"city": {"enum": ["Paris", "Oslo"]}}, "required": ["city"]}
    function = {"name": "weather", "strict": True, "parameters": {**cities, "additionalProperties": False}}
    tool = {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "max_tokens": 64,
        # A random model would fill the gaps of the JSON with white space.
        "logit_bias": {str(token): 100 for mark in '":}' for token in token_ids(mark)},
    }
    return {
        "chat-streamed-tool-call": chat("streamed", tool, stream_options=CONTINUOUS),
        "chat-whole-tool-call": chat("whole", tool),
    }


def interval_requests():
    """Requests for the server that sends every third token, and tells how many of a prompt's were cached."""
    long = {"prompt": [1000] * 300, "stream_options": CONTINUOUS}
    return {
        "chat-streamed-several-tokens": chat("streamed", exactly(8), stream_options=CONTINUOUS),
        "completions-streamed-several-tokens": completions("streamed", exactly(8), stream_options=CONTINUOUS),
        "completions-streamed-several-token-ids": completions(
            "streamed", exactly(8), stream_options=FINAL, return_token_ids=True
        ),
        "completions-streamed-not-cached": completions("streamed", exactly(1), **long),
        "completions-streamed-cached": completions("streamed", exactly(1), **long),
    }


# === The socket ===


def send(port, asked):
    body = asked["body"]
    payload = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    head = [f"{asked['method']} {asked['path']} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    head += [f"{name}: {value}" for name, value in asked["headers"].items()]
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + payload)
    return connection


def receive(connection, reading=lambda so_far: None):
    """Reads one response to its end or the connection's. `reading` is called with the bytes so far at each read."""
    raw = b""
    while not Response(raw).complete:
        try:
            read = connection.recv(65536)
        except ConnectionResetError:
            break
        if not read:
            break
        raw += read
        reading(raw)
    connection.close()
    return raw


class Response:
    """A response's bytes, taken apart as far as they go."""

    def __init__(self, raw):
        head, self.began, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if self.began else None
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.http_chunks, self.body, self.complete = 0, rest, False
        if not self.began:
            return
        if self.headers.get("transfer-encoding") == "chunked":
            self.body = self.unchunk(rest)
        elif "content-length" in self.headers:
            self.complete = len(rest) >= int(self.headers["content-length"])

    def unchunk(self, rest):
        body = b""
        while True:
            size, newline, after = rest.partition(b"\r\n")
            if not newline or len(after) < int(size, 16) + 2:
                return body
            if int(size, 16) == 0:
                self.complete = True
                return body
            body += after[: int(size, 16)]
            rest = after[int(size, 16) + 2 :]
            self.http_chunks += 1


# === The facts ===


def facts(asked, raw):
    response = Response(raw)
    found = {
        "api": asked["api"],
        "delivery": asked["delivery"],
        "status": response.status,
        "content_type": response.headers.get("content-type"),
        "http_chunks": response.http_chunks,
        "keep": response.complete and response.headers.get("connection") != "close",
    }
    if asked["api"] is None:
        return {**found, "body": response.body.decode()}
    if response.status != 200:
        body = json.loads(response.body)
        return {**found, "outcome": "refused", "message": message(body)}
    if asked["delivery"] == "whole":
        return {**found, **whole_facts(json.loads(response.body))}
    return {**found, **stream_facts(response)}


def message(body):
    """The sentence in an error body: OpenAI's shape; FastAPI's; or a bare string."""
    error = body.get("error", body.get("detail"))
    return error["message"] if isinstance(error, dict) else error


def usage_facts(usage):
    if usage is None:
        return None
    return {
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "cached_tokens": (usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        "reasoning_tokens": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
    }


def outputs(choice):
    """The output in a choice, streamed or whole, of either API: (kind, text) in the order of the kinds."""
    said = choice.get("delta") or choice.get("message") or {}
    arguments = "".join((call.get("function") or {}).get("arguments") or "" for call in said.get("tool_calls") or [])
    every = [
        ("reasoning", said.get("reasoning") or said.get("reasoning_content")),
        ("content", said.get("content") or choice.get("text")),
        ("tool_arguments", arguments),
        ("refusal", said.get("refusal")),
    ]
    return [(kind, text) for kind, text in every if text]


def whole_facts(body):
    choice = body["choices"][0]
    texts = dict(outputs(choice))
    return {
        "outcome": "finished",
        "finish_reason": choice["finish_reason"],
        "usage": usage_facts(body["usage"]),
        "text": {kind: texts.get(kind, "") for kind in ("reasoning", "content", "tool_arguments", "refusal")},
    }


def tokens_of(event, choice, counted):
    """How many tokens were generated up to this event, as far as it says; `counted` were before it."""
    if event.get("usage"):
        return event["usage"]["completion_tokens"]
    if choice.get("token_ids"):
        return counted + len(choice["token_ids"])
    logprobs = choice.get("logprobs") or {}
    listed = logprobs.get("content") or logprobs.get("tokens")
    return None if listed is None else counted + len(listed)


def stream_facts(response):
    chunks, texts = [], {"reasoning": "", "content": "", "tool_arguments": "", "refusal": ""}
    counts = {"without_output": 0, "usage_only": 0, "error": 0, "done": 0}
    reason = usage = error = None
    counted = credited = 0
    # Only whole events: what stands behind the last empty line is not one.
    for block in response.body.decode().split("\n\n")[:-1]:
        assert block.startswith("data: ") and "\n" not in block, block
        if block == "data: [DONE]":
            counts["done"] += 1
            continue
        event = json.loads(block.removeprefix("data: "))
        if "error" in event:
            counts["error"] += 1
            error = message(event)
            continue
        usage = event.get("usage") or usage
        if not event["choices"]:
            counts["usage_only"] += 1
            continue
        [choice] = event["choices"]
        reason = choice.get("finish_reason") or reason
        known = tokens_of(event, choice, counted)
        counted = counted if known is None else known
        output = outputs(choice)
        for kind, text in output:
            texts[kind] += text
        if output:
            # Tokens that showed no text of their own are credited to the next chunk that does.
            chunks.append([output[0][0], None if known is None else counted - credited])
            credited = counted
        else:
            counts["without_output"] += 1
    # transformers ends its streams without a `[DONE]`.
    finished = (counts["done"] or reason) and response.complete
    return {
        "outcome": "errored" if error else "finished" if finished else "severed",
        **({"message": error} if error else {}),
        "finish_reason": reason,
        "usage": usage_facts(usage),
        "events": counts,
        "chunks": chunks,
        "text": texts,
    }


def lines(facts):
    """JSON with one key to a line."""
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()) + "\n}\n"


# === The server ===


class Server:
    """vLLM, from entering to leaving. Its processes are ended by their own ids."""

    def __init__(self, model, scratch, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.pid_file = scratch / f"{self.port}.pid"
        # By its name alone, from its parent: /v1/models tells the path it was given.
        self.command = [HERE / "vllm/serve.sh", "--background", self.pid_file, scratch / f"{self.port}.log"]
        self.command += [model.name, str(self.port), *options]
        self.folder = model.parent

    def __enter__(self):
        subprocess.run(self.command, cwd=self.folder, check=True)
        self.pid = int(self.pid_file.read_text())
        return self

    def __exit__(self, *_):
        subprocess.run([HERE / "vllm/stop.sh", self.pid_file], check=True)

    def engine(self):
        """The process id of the engine, which is the front end's child."""
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if "EngineCor" in pathlib.Path(f"/proc/{child}/comm").read_text():
                    return int(child)
        raise LookupError("the front end has no engine process")

    def record_all(self, out, requests):
        for name, asked in requests.items():
            self.record(out, name, asked)

    def record(self, out, name, asked, kill=None):
        """Asks, and writes the three files. `kill` names a process to end once a few chunks have come."""
        victims = [] if kill is None else [kill]

        def strike(so_far):
            if victims and so_far.count(b"data: ") > 4:
                os.kill(victims.pop(), signal.SIGKILL)

        raw = receive(send(self.port, asked), strike)
        sent = {key: asked[key] for key in ("method", "path", "headers", "body")}
        found = facts(asked, raw)
        (out / f"{name}.request.json").write_text(lines(sent))
        (out / f"{name}.http").write_bytes(raw)
        (out / f"{name}.json").write_text(lines(found))
        print(f"{name}: {found['status']} {found.get('outcome', '')} {len(raw)} bytes")

    def token_ids(self, text):
        raw = receive(send(self.port, request("/tokenize", {"model": "tiny", "prompt": text})))
        return json.loads(Response(raw).body)["tokens"]


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: record_goldens.py MODEL_DIR OUT_DIR")
    model, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    endless = chat("streamed", exactly(ENDLESS), stream_options=FINAL)
    keyed_options = ["--api-key", KEY, "--max-model-len", "512", "--reasoning-parser", "deepseek_r1"]
    interval_options = ["--stream-interval", "3", "--enable-prompt-tokens-details"]
    tool_options = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        with Server(model, scratch) as server:
            server.record_all(out, plain_requests(server.token_ids))
            server.record(out, "chat-streamed-engine-died", endless, kill=server.engine())
        with Server(model, scratch, *keyed_options) as server:
            server.record_all(out, keyed_requests())
        with Server(model, scratch, *interval_options) as server:
            server.record_all(out, interval_requests())
        with Server(model, scratch, *tool_options) as server:
            server.record_all(out, tool_requests(server.token_ids))
            server.record(out, "chat-streamed-front-end-died", endless, kill=server.pid)


if __name__ == "__main__":
    main()
