"""What devices say: nomenclature, units, codecs, `Observation` and the message contract. Meaning without I/O."""
