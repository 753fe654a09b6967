"""Room batch: see ARCHITECTURE.md."""
