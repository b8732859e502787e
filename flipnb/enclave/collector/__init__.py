"""The collector: asks a hospital's PACS for headers and studies. It has the network inside the hospital, no key of
FLIP, and decodes nothing: what it got lies in a quarantine that only jailed parsers read."""
