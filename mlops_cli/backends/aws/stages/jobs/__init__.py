"""The jobs of stages: their code, requests and outputs, and the proof of where the outputs come from."""
