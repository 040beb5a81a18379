"""The search from Python: a space, `nas`, what it found, an estimate, and a kit to train with.

The names that its users import are those of `spikeloom.nas`.
"""
