module github.com/genaistore/genaistore/internal/bench

go 1.26.0

require (
	github.com/genaistore/genaistore v0.0.0-00010101000000-000000000000
	github.com/philippgille/chromem-go v0.7.0
)

require golang.org/x/sync v0.24.0 // indirect

replace github.com/genaistore/genaistore => ../..
