module openflagship/openfeature

go 1.24.0

require (
	github.com/cucumber/godog v0.15.1
	github.com/open-feature/go-sdk v1.16.0
	openflagship v0.0.0
)

require (
	github.com/cucumber/gherkin/go/v26 v26.2.0 // indirect
	github.com/cucumber/messages/go/v21 v21.0.1 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/gofrs/uuid v4.4.0+incompatible // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/go-memdb v1.3.4 // indirect
	github.com/hashicorp/golang-lru v1.0.2 // indirect
	github.com/spf13/pflag v1.0.7 // indirect
	go.uber.org/mock v0.6.0 // indirect
)

replace openflagship => ../
