"""The import paths of the released code, kept working."""
