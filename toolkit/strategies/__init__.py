"""Room strategies: see ARCHITECTURE.md."""
