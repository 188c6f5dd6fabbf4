"""From a source of chest X-rays to pixels."""
