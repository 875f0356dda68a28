"""What measures and tests share: a real browser, and a bare HTTP client of the Hub."""
