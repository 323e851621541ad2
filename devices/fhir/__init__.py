"""FHIR R4: an `Observation` as the resources of HL7's Personal Health Device guide, and back. Plain dictionaries."""
