"""The edge of the simulated exchange: servers that speak brokers' wires over loopback."""
