"""The Go SDK beside the bare hash and the SDKs of others."""
