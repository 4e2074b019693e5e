package main

import (
	"context"

	"github.com/genaistore/genaistore/memory"
)

// The intents that a reply depends on, of those that a [memory.Lexicon] finds.
const (
	intentGreeting  = "greeting"
	intentThanks    = "thanks"
	intentComplaint = "complaint"
)

// annotate finds the intent and the sentiment of what a user said, offline: on AWS
// this is the place of package comprehend.
func annotate(ctx context.Context, text string) (memory.Notes, error) {
	found, err := memory.Lexicon{}.Enrich(ctx, []string{text})
	if err != nil {
		return memory.Notes{}, err
	}
	return found[0].Notes, nil
}
