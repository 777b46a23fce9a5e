"""The network, from a text to its logits, and their calibration."""
