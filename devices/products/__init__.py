"""Products that deviate from the standard: one declaration a product, read by the codecs (never an `if` in one)."""
