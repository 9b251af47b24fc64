"""Records what a server answers in other dialects than OpenAI's two older ones: record_dialects.py PORT OUT_DIR API...

The server runs already, on loopback, and serves a model named `tiny`. For each API (anthropic, responses, embeddings,
pooling, rerank, triton, llamacpp, or `transformers` for what that server makes of chat and completions) it writes the same
three files as record_goldens.py, whose socket it uses. The facts are computed here, by code that shares nothing with the
project's decoder: this is the oracle.
"""

import json
import pathlib
import sys

from record_goldens import FINAL, USER, Response, chat, completions, exactly, lines, message, receive, request, send
from record_goldens import facts as openai_facts

TEXT = {"reasoning": "", "content": "", "tool_arguments": "", "refusal": ""}


# APIs that generate nothing: where they are, and what they are asked.
POOLED = {
    "embeddings": ("/v1/embeddings", {"input": "Hello there"}),
    "pooling": ("/pooling", {"input": "Hello there"}),
    "rerank": ("/v1/rerank", {"query": "Hello", "documents": [" there", " good day"]}),
}

# === The requests ===


def requests(api):
    if api == "anthropic":
        path, body = "/v1/messages", {"model": "tiny", "messages": USER, "max_tokens": 8}
    elif api == "triton":
        body = {"text_input": "Hello there", "parameters": {"max_tokens": 4}}
        body |= {f"return_{what}": True for what in ("finish_reason", "num_input_tokens", "num_output_tokens")}
        path = "/v2/models/{}/generate_stream"
        return {
            "triton-streamed": request(path.format("tiny"), {**body, "stream": True}, api, "streamed"),
            "triton-refused-unknown-model": request(path.format("nobody"), body, api, "streamed"),
        }
    elif api == "llamacpp":
        path, body = "/completion", {"prompt": "Hello there", "n_predict": 6, "ignore_eos": True, "seed": 1}
        return {
            "llamacpp-streamed": request(path, {**body, "stream": True}, api, "streamed"),
            "llamacpp-whole": request(path, body, api, "whole"),
            "llamacpp-refused-no-prompt": request(path, {"stream": True}, api, "streamed"),
        }
    elif api in POOLED:
        path, asked = POOLED[api]
        body = {"model": "tiny", **asked}
        return {
            f"{api}-whole": request(path, body, api, "whole"),
            f"{api}-refused-unknown-model": request(path, {**body, "model": "nobody"}, api, "whole"),
        }
    elif api == "transformers":
        limit = {"max_tokens": 8}
        return {
            "chat-streamed": chat("streamed", limit, stream_options=FINAL),
            "chat-whole": chat("whole", limit),
            "chat-refused-exact-length": chat("streamed", exactly(8)),
            "chat-refused-unknown-model": chat("streamed", limit, model="nobody"),
            "completions-streamed": completions("streamed", limit),
            "completions-whole": completions("whole", limit),
            "completions-refused-exact-length": completions("streamed", exactly(8)),
        }
    else:
        path, body = "/v1/responses", {"model": "tiny", "input": "Hello there", "max_output_tokens": 8, "store": False}
    return {
        f"{api}-streamed": request(path, {**body, "stream": True}, api, "streamed"),
        f"{api}-whole": request(path, body, api, "whole"),
        f"{api}-refused-unknown-model": request(path, {**body, "model": "nobody"}, api, "streamed"),
    }


# === The facts ===


def anthropic(events, whole):
    """The reason, the usage and the chunks of events, or of a message."""
    words = {"end_turn": "stop", "max_tokens": "length"}
    reason, usage, chunks = None, {}, []
    for event in events:
        if event.get("type") == "content_block_delta" and event["delta"].get("text"):
            chunks.append(event["delta"]["text"])
        usage.update({k: v for k, v in ((event.get("message") or {}).get("usage") or {}).items() if v is not None})
        usage.update({k: v for k, v in (event.get("usage") or {}).items() if v is not None})
        reason = (event.get("delta") or {}).get("stop_reason") or (event.get("stop_reason") if whole else None) or reason
    if whole:
        chunks = [block["text"] for block in events[0]["content"]]
    cached = usage.get("cache_read_input_tokens")
    fresh = usage["input_tokens"] + (cached or 0) + (usage.get("cache_creation_input_tokens") or 0)
    return words[reason], fresh, usage["output_tokens"], cached, None, chunks


def responses(events, whole):
    last = events[0] if whole else next(event["response"] for event in reversed(events) if "response" in event)
    chunks = [event["delta"] for event in events if event.get("type") == "response.output_text.delta" and event["delta"]]
    if whole:
        chunks = [part["text"] for item in last["output"] for part in item.get("content") or []]
    reason = (last.get("incomplete_details") or {}).get("reason")
    usage = last["usage"]
    return (
        {None: "stop", "max_output_tokens": "length"}[reason],
        usage["input_tokens"],
        usage["output_tokens"],
        (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
        chunks,
    )


def triton(events, _whole):
    reason = {"length": "length", "stop": "stop"}[events[-1]["finish_reason"]]
    texts = [event["text_output"] for event in events if event["text_output"]]
    return reason, events[0]["num_input_tokens"], sum(event["num_output_tokens"] for event in events), None, None, texts


def llamacpp(events, _whole):
    last = events[-1]
    reason = {"limit": "length", "eos": "stop", "word": "stop"}[last["stop_type"]]
    texts = [event["content"] for event in events if event["content"]]
    return reason, last["tokens_evaluated"], last["tokens_predicted"], last["timings"]["cache_n"], None, texts


def pooled(events, _whole):
    return None, events[0]["usage"]["prompt_tokens"], 0, None, None, []


# APIs of which each event tells its tokens, one here.
COUNTED = {"triton", "llamacpp"}


def facts(asked, raw):
    if asked["api"] in ("chat", "completions"):
        return openai_facts(asked, raw)
    response = Response(raw)
    found = {
        "api": asked["api"],
        "delivery": asked["delivery"],
        "status": response.status,
        "keep": response.complete and response.headers.get("connection") != "close",
    }
    if response.status != 200:
        return {**found, "outcome": "refused", "message": message(json.loads(response.body))}
    whole = asked["delivery"] == "whole"
    if whole:
        events = [json.loads(response.body)]
    else:
        datas = (line for line in response.body.decode().split("\n") if line.startswith("data: "))
        events = [json.loads(line.removeprefix("data: ")) for line in datas if line != "data: [DONE]"]
    own = {"anthropic": anthropic, "responses": responses, "triton": triton, "llamacpp": llamacpp}
    read = own.get(asked["api"], pooled)
    reason, prompt, completion, cached, reasoning, chunks = read(events, whole)
    return {
        **found,
        "outcome": "finished",
        "finish_reason": reason,
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cached_tokens": cached,
            "reasoning_tokens": reasoning,
        },
        "chunks": [] if whole else [["content", 1 if asked["api"] in COUNTED else None] for _ in chunks],
        "text": {**TEXT, "content": "".join(chunks)},
    }


def main(port, out, *apis):
    out = pathlib.Path(out)
    for api in apis:
        for name, asked in requests(api).items():
            raw = receive(send(int(port), asked))
            sent = {key: asked[key] for key in ("method", "path", "headers", "body")}
            found = facts(asked, raw)
            (out / f"{name}.request.json").write_text(lines(sent))
            (out / f"{name}.http").write_bytes(raw)
            (out / f"{name}.json").write_text(lines(found))
            print(f"{name}: {found['status']} {found['outcome']} {len(raw)} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
