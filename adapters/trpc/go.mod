module github.com/genaistore/genaistore/adapters/trpc

go 1.26.5

require (
	github.com/genaistore/genaistore v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	trpc.group/trpc-go/trpc-agent-go v1.11.2
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace github.com/genaistore/genaistore => ../..
