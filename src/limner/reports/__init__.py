"""What people see: facts in words, the terminal, Markdown, and one self-contained HTML page."""
