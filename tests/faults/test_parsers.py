"""The parsers of our own, given any bytes; `make test-faults` does it for longer, guided by the branches that were taken."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.parsers import PARSERS, one


@pytest.mark.parametrize("number", range(len(PARSERS)), ids=[parser.__name__ for parser in PARSERS])
@settings(max_examples=100)
@given(raw=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_as_promised(number: int, raw: bytes) -> None:
    one(bytes([number]) + raw)
