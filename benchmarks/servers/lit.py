"""LitServe with our batch size and our waiting time."""

from __future__ import annotations

import sys

import litserve
from saved import Saved


class Comments(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = Saved()

    def decode_request(self, request: dict) -> str:
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return list(inputs)

    def predict(self, texts: list[str]) -> list[list[float]]:
        return self.model(texts)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict:
        return {"probabilities": output}


if __name__ == "__main__":
    api = Comments(max_batch_size=32, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
