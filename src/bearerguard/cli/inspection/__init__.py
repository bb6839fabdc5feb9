"""What a token says, what each rule thinks of it, and what the verifier says."""
