"""Which X-ray is for training, validation and test."""
