"""How a caller proves who it is: credentials in memory, tokens of service accounts, and a limit on wrong attempts."""
