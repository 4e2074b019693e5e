package costtest_test

import (
	"context"
	"fmt"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory/costtest"
)

// A printer is a TB for programs that are no tests.
type printer struct{ failed int }

func (*printer) Helper()                  {}
func (*printer) Context() context.Context { return context.Background() }
func (p *printer) Fatal(...any)           { p.failed++ }
func (p *printer) Errorf(string, ...any)  { p.failed++ }
func (*printer) Logf(string, ...any)      {}

// The in-memory store asks nothing of DynamoDB, so that it meets no line of the table.
func ExampleRun() {
	var p printer
	costtest.Run(&p, new(memory.InMemory), nil)
	fmt.Println(p.failed > 15)
	// Output: true
}
