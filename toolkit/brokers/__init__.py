"""The port to brokers, the factory, and paper."""
