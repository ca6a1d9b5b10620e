"""The frame: the only place where bytes are read or written (`spec/gcodec-1.md`).

Imports the standard library, NumPy and `gcodec.errors` only. Hashes over bytes are handed in as
functions, so the same code serves every backend.
"""
