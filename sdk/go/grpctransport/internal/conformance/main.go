// The test service of the Go SDK over gRPC.
package main

import (
	"encoding/json"

	"openflagship"
	"openflagship/grpctransport"
	"openflagship/internal/testservice"
)

func main() {
	testservice.Main(map[string]testservice.Option{"grpc": overGRPC})
}

func overGRPC(raw json.RawMessage, into *openflagship.Options) error {
	var target string
	err := json.Unmarshal(raw, &target)
	into.Transport = grpctransport.New(target, grpctransport.Options{Plain: true})
	return err
}
