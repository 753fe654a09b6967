"""Room risk: see ARCHITECTURE.md."""
