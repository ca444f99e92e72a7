"""The stages of an extraction, as plain async functions over the model ports."""
