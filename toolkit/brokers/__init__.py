"""Room brokers: see ARCHITECTURE.md."""
