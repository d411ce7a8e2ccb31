"""The rules of the protocols, written once over `Session`, whichever database it is of."""
