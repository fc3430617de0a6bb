"""What laws compute with: tails, quadratures and series that keep their digits."""
