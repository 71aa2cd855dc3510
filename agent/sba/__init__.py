"""The service-based architecture: names, types, purposes, and the profile to be met.

Pure values of TS 33.310 clause 6.1.3c, TS 23.003 clause 28, TS 29.510, RFC 9310 and
RFC 9509. Nothing here knows a configuration, an order or a CA.
"""
