"""The engine process: its API, stream, metrics and who may speak to it."""
