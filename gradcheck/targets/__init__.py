"""Which callable is meant, and where its inputs come from."""
