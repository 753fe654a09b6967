"""Room orders: see ARCHITECTURE.md."""
