"""The jobs of stages: their code and requests, their outputs, and the proof of what they have written."""
