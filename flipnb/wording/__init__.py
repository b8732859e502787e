"""Plain English sentences out of contracts: cohorts, requests, audit logs. One generator, so that all say the same.

What strangers wrote stands in the sentences as it is, in quotation marks of ours, with invisible characters escaped;
whoever shows a sentence, shows it as text.
"""
