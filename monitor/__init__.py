"""Programme packs, evaluation, alerts, follow-ups, residents and the nurse's pages."""
