"""What a notebook uses inside a kernel: its cohort and its rounds. Light; torch only where the model is torch's."""
