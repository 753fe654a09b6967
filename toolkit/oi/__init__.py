"""Room oi: see ARCHITECTURE.md."""
