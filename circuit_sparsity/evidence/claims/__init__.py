"""The paper's claims, measured on models that are here, beside the paper's own numbers."""
