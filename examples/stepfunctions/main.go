// Command stepfunctions has the steps of a state machine that answers what a user has
// said: it finds sentiment and intent in parallel, notes them, asks a model and appends
// its answer to the conversation. machine.asl.json is the machine, template.json deploys
// it with the table, the functions and roles that can do no more than they must.
//
//	GOOS=linux GOARCH=arm64 go build -tags lambda.norpc -trimpath -ldflags '-s -w' -o bootstrap ./stepfunctions
//
// One program is all functions: the handler in a function's configuration names the
// step. An execution starts with {"key": ..., "record": ..., "after": ...}: whose
// conversation it is, what the user said, and the bookmark that its Append returned.
// The environment is that of the example lambda: TABLE, TENANT, MODEL_ID and CLASSIFIER.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	comprehendsdk "github.com/aws/aws-sdk-go-v2/service/comprehend"

	"github.com/genaistore/genaistore/examples/internal/converse"
	"github.com/genaistore/genaistore/examples/internal/function"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/comprehend"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

func main() {
	if err := run(context.Background(), os.Getenv("_HANDLER")); err != nil {
		fmt.Fprintln(os.Stderr, "stepfunctions:", err)
		os.Exit(1)
	}
}

// warmTime is what is left of the ten seconds of INIT, with room for the rest.
const warmTime = 5 * time.Second

func run(ctx context.Context, step string) error {
	cfg, err := function.Config(ctx)
	if err != nil {
		return err
	}
	steps, err := newSteps(cfg, os.Getenv)
	if err != nil {
		return err
	}
	start, ok := steps.handlers()[step]
	if !ok {
		return fmt.Errorf("there is no step %q", step)
	}
	warm, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	if err := steps.table.Warm(warm, memory.Key{Tenant: steps.Tenant}); err != nil {
		fmt.Fprintln(os.Stderr, "stepfunctions: not warm:", err) // each event will say so
	}
	start()
	return nil
}

// A machine is Steps and the table that they stand on.
type machine struct {
	Steps
	table *dynamomemory.Store
}

func newSteps(cfg aws.Config, env func(string) string) (*machine, error) {
	if env("MODEL_ID") == "" {
		return nil, errors.New("MODEL_ID is not set")
	}
	table, err := function.Table(cfg, env)
	if err != nil {
		return nil, err
	}
	texts := comprehendsdk.NewFromConfig(cfg)
	sentiment, err := comprehend.New(texts, nil)
	if err != nil {
		return nil, err
	}
	var intent memory.Enricher = memory.Lexicon{}
	if endpoint := env("CLASSIFIER"); endpoint != "" {
		intent = &classifier{texts, endpoint}
	}
	model := converse.New(bedrockruntime.NewFromConfig(cfg), env("MODEL_ID"))
	return &machine{Steps{Tenant: env("TENANT"), Store: table, Sentiment: sentiment, Intent: intent, Model: model.Reply}, table}, nil
}

// handlers has what each step starts, which does not return.
func (m *machine) handlers() map[string]func() {
	return map[string]func(){
		"fetch":     func() { function.Start(function.StateLimit, m.Fetch) },
		"sentiment": func() { function.Start(function.StateLimit, m.FindSentiment) },
		"intent":    func() { function.Start(function.StateLimit, m.FindIntent) },
		"annotate":  func() { function.Start(function.StateLimit, m.Annotate) },
		"ask":       func() { function.Start(function.StateLimit, m.Ask) },
		"append":    func() { function.Start(function.StateLimit, m.Append) },
	}
}
