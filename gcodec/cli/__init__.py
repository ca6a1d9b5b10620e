"""The command `gcodec`."""
