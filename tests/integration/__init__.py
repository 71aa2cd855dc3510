"""Tests of nfcertd."""
