"""Room market: see ARCHITECTURE.md."""
