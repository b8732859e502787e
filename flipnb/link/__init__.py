"""Every client of hub and desk: signed requests, retry, transfers that go on where they broke."""
