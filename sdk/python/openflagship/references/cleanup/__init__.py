"""Taking a flag out of code: a diff that keeps what the winning value gives, and the places left to a person."""
