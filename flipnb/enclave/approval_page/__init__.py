"""Where a data controller approves in a browser: a small process of its own, on a loopback origin of its own.

It opens the controller's key with the passphrase for one signature; the agent, which talks to the outside, sees
neither.
"""
