package main

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/comprehend"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/memory"
)

// A classifier finds intents alone, with a custom classifier of Comprehend: the step
// beside it finds the rest, and a comprehend.Enricher would pay for that twice.
type classifier struct {
	client   *comprehend.Client
	endpoint string
}

const (
	maxClassified = 5000 // bytes of a text
	minScore      = 0.5  // of a class that is an intent
)

// Enrich implements memory.Enricher.
func (c *classifier) Enrich(ctx context.Context, texts []string) ([]memory.Finding, error) {
	findings := make([]memory.Finding, len(texts))
	for i, text := range texts {
		text = cut(text)
		out, err := c.client.ClassifyDocument(ctx, &comprehend.ClassifyDocumentInput{Text: &text, EndpointArn: &c.endpoint})
		if err != nil {
			return nil, fmt.Errorf("classifier: %w", kind(err))
		}
		findings[i].Notes.Model = c.endpoint
		best := float32(minScore)
		for _, class := range out.Classes {
			if class.Name != nil && class.Score != nil && *class.Score >= best {
				best, findings[i].Notes.Intent = *class.Score, *class.Name
			}
		}
	}
	return findings, nil
}

func cut(text string) string {
	if len(text) <= maxClassified {
		return text
	}
	end := maxClassified
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

func kind(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%w: no answer: %w", memory.ErrThrottled, err)
	}
	switch api.ErrorCode() {
	case "ThrottlingException", "TooManyRequestsException", "InternalServerException", "ResourceUnavailableException":
		return fmt.Errorf("%w: %w", memory.ErrThrottled, err)
	case "AccessDeniedException":
		return fmt.Errorf("%w: %w", memory.ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", memory.ErrInvalid, err)
}
