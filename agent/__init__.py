"""nfcertd keeps every certificate of the network functions on its host alive."""

__version__ = "0.1.0"
