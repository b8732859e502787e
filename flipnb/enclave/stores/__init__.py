"""What an enclave keeps on its disk: configuration, state, ledger of counts, audit log."""
