"""How many decimals a currency has, by ISO 4217."""

from __future__ import annotations

# All others have two. MGA has none here, as payment platforms count it.
_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW MGA PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DECIMALS: dict[str, int] = {code: decimals for decimals, codes in _CODES.items() for code in codes.split()}


def decimals(currency: str) -> int:
    """Of a code in capital letters, such as `JPY`."""
    return DECIMALS.get(currency, 2)
