"""Room bench: see ARCHITECTURE.md."""
