"""The networks at work on other X-rays."""
