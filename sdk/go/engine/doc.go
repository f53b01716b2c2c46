// Package engine evaluates flags: the same document gives the same answer in every language. It knows no storage and no
// network.
//
//	environment, err := engine.Parse(snapshot, nil)
//	outcome := environment.Evaluate("new-checkout", engine.User{ID: "user-1"})
//
// Services use the package openflagship, which keeps the configuration current.
package engine
