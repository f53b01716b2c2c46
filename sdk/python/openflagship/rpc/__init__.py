"""gRPC for the server and the edge: flagd's evaluation service, and what every service here shares.

Only a process that serves gRPC imports it: it needs the extra `openflagship[grpc]`.
"""
