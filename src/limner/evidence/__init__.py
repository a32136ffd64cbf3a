"""Evidence: signals with the words that prove them, traits that they add up to, personas that rest on both."""
