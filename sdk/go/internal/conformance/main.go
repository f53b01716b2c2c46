// The test service of the Go SDK, and its parity with the Python engine.
package main

import (
	"os"

	"openflagship/internal/testservice"
)

func main() {
	if len(os.Args) > 1 {
		compare(os.Args[1])
		return
	}
	testservice.Main(nil)
}
