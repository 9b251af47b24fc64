"""A model that says one word for each token asked, five milliseconds apart."""

import json
import os
import sys
import time

# The stub runs the system's interpreter, which does not know the environment that it was installed to.
sys.path.insert(0, os.environ["TRITON_PACKAGES"])

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            text = pb.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()
            parameters = json.loads(request.parameters())
            tokens = int(parameters.get("max_tokens", 16))
            sender = request.get_response_sender()
            for place in range(tokens):
                time.sleep(0.005)
                last = place + 1 == tokens
                out = lambda name, value, kind: pb.Tensor(name, np.array([value], dtype=kind))
                tensors = [
                    out("text_output", f" word{place}".encode(), np.object_),
                    out("finish_reason", b"length" if last else b"None", np.object_),
                    out("num_input_tokens", len(text.split()), np.uint32),
                    out("num_output_tokens", 1, np.uint32),
                ]
                sender.send(pb.InferenceResponse(output_tensors=tensors))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
