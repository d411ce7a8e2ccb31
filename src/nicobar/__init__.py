"""Nicobar carries payment events to Customer.io."""

__version__ = "0.1.0"
