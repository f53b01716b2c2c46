package openflagship

// Version is the module's version.
const Version = "0.1.0"

// How requests name the SDK.
const sdk = "go/" + Version
