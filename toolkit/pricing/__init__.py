"""Room pricing: see ARCHITECTURE.md."""
