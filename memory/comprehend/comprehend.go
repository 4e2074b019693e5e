// Package comprehend finds the language, sentiment and intent of messages with
// Amazon Comprehend: a [memory.Enricher] for [memory.Enrich].
//
//	enricher, err := comprehend.New(comprehendsdk.NewFromConfig(cfg), &comprehend.Options{
//		Classifier: "arn:aws:comprehend:eu-west-1:111122223333:document-classifier-endpoint/intents",
//	})
//	...
//	done, err := memory.Enrich(ctx, store, session, enricher, nil)
//
// A text gets the dominant language, the sentiment from -1 to 1, which is
// Comprehend's score for positive less that for negative, and, where there is a custom
// classifier, the class with the highest score as intent. A text in a language that
// Comprehend has no sentiment for has its language noted and no sentiment. Comprehend
// takes 5,000 bytes of a text: of a longer one the beginning counts, cut between two
// runes.
//
// Texts go to Comprehend 25 at a time, sorted by language, and to the classifier one
// at a time, some at once. Where Comprehend fails on single texts of a batch, those
// are sent again by themselves, after a pause; throttling of whole calls is retried by
// the AWS client.
//
// # What was seen
//
// This package is tested against the shapes of the AWS SDK with answers made up for
// the purpose, and has met no server: no emulator at hand speaks Comprehend. Written
// after the documentation alone are which error codes stand in ErrorList, that the
// sentiment takes the same languages as the SDK lists, and that language detection
// takes texts shorter than the 20 characters it recommends; the code depends on none
// of them for more than which kind an error has and what is sent again.
package comprehend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/comprehend"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory"
)

// Limits of Comprehend
// (https://docs.aws.amazon.com/comprehend/latest/dg/guidelines-and-limits.html).
const (
	maxBatch = 25   // documents in a call, and of sentiment of one language
	maxText  = 5000 // bytes of a document
)

// A Client makes the calls that an Enricher makes. *comprehend.Client is one.
type Client interface {
	BatchDetectDominantLanguage(ctx context.Context, in *comprehend.BatchDetectDominantLanguageInput, opts ...func(*comprehend.Options)) (*comprehend.BatchDetectDominantLanguageOutput, error)
	BatchDetectSentiment(ctx context.Context, in *comprehend.BatchDetectSentimentInput, opts ...func(*comprehend.Options)) (*comprehend.BatchDetectSentimentOutput, error)
	ClassifyDocument(ctx context.Context, in *comprehend.ClassifyDocumentInput, opts ...func(*comprehend.Options)) (*comprehend.ClassifyDocumentOutput, error)
}

// Options adjusts an Enricher. A nil *Options means the zero value.
type Options struct {
	// Language is that of all texts, as a code of Comprehend's such as "en" or
	// "zh-TW". Empty means that it is detected, which short texts are often too short
	// for, and costs as much as the sentiment.
	Language string
	// Classifier is the ARN of the endpoint of a custom classifier, whose classes are
	// the intents. Empty means that no intent is found. An endpoint is charged for as
	// long as it exists.
	Classifier string
	// MinScore is the least score, from 0 to 1, with which a class becomes an intent:
	// 0.5 if zero. Below it there is none.
	MinScore float64
	// Retries is how often a text that Comprehend failed on inside a batch is sent
	// again by itself: once if zero, never if negative.
	Retries int
	// Concurrency is how many calls one Enrich makes at a time: 4 if zero.
	Concurrency int
}

// WithDefaults returns what an Enricher acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.MinScore = cmp.Or(opts.MinScore, 0.5)
	opts.Retries = cmp.Or(opts.Retries, 1)
	opts.Concurrency = cmp.Or(opts.Concurrency, 4)
	return opts
}

// Validate reports an error that matches [memory.ErrInvalid] unless New takes o. It
// accepts a nil receiver.
func (o *Options) Validate() error {
	opts := o.WithDefaults()
	switch {
	case !(opts.MinScore >= 0 && opts.MinScore <= 1):
		return fmt.Errorf("%w: a least score of %v: from 0 to 1", fault.Invalid, opts.MinScore)
	case opts.Retries > 10:
		return fmt.Errorf("%w: %d retries: at most 10", fault.Invalid, opts.Retries)
	case opts.Concurrency < 1 || opts.Concurrency > 100:
		return fmt.Errorf("%w: concurrency %d: from 1 to 100", fault.Invalid, opts.Concurrency)
	case opts.Language != "" && !hasSentiment(opts.Language):
		return fmt.Errorf("%w: language %.20q: Comprehend has no sentiment for it", fault.Invalid, opts.Language)
	}
	return checkEndpoint(opts.Classifier)
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	parsed, err := arn.Parse(endpoint)
	if err != nil || parsed.Service != "comprehend" || !strings.Contains(parsed.Resource, "document-classifier-endpoint/") || len(endpoint) > memory.MaxKeyPart {
		return fmt.Errorf("%w: classifier %.60q: the ARN of a document-classifier-endpoint of comprehend, at most %d bytes", fault.Invalid, endpoint, memory.MaxKeyPart)
	}
	return nil
}

// An Enricher finds notes for texts. Build one with [New]. It is safe for
// concurrent use.
type Enricher struct {
	client Client
	opts   Options
}

var _ memory.Enricher = (*Enricher)(nil)

// New returns an Enricher. It calls nothing. An error matches [memory.ErrInvalid].
func New(client Client, opts *Options) (*Enricher, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("comprehend: %w", err)
	}
	return &Enricher{client: client, opts: opts.WithDefaults()}, nil
}

// Enrich implements [memory.Enricher]. A text without anything but white space is not
// sent and has zero Notes. Notes.Model is the ARN of the classifier, or
// "amazon-comprehend" where there is none.
//
// An error is one that would meet the other texts too: a cancelled context,
// [memory.ErrThrottled] after the retries of the AWS client, [memory.ErrDenied],
// [memory.ErrNotFound] for an endpoint that is not there, or one of the connection.
func (e *Enricher) Enrich(ctx context.Context, texts []string) ([]memory.Finding, error) {
	run := &run{Enricher: e, docs: make([]doc, len(texts))}
	var sent []int
	for i, text := range texts {
		switch {
		case !utf8.ValidString(text):
			run.docs[i].err = fmt.Errorf("%w: text is UTF-8", fault.Invalid)
		case strings.TrimSpace(text) != "":
			run.docs[i].text = cut(text)
			run.docs[i].notes.Model = cmp.Or(e.opts.Classifier, "amazon-comprehend")
			sent = append(sent, i)
		}
	}
	err := run.all(ctx, sent)
	findings := make([]memory.Finding, len(texts))
	for i, d := range run.docs {
		if d.text != "" && d.err == nil && !d.done {
			d.err = cmp.Or(err, fault.Throttled)
		}
		if findings[i].Err = d.err; d.err == nil {
			findings[i].Notes = d.notes
		}
	}
	if err != nil {
		return findings, fmt.Errorf("comprehend: %w", err)
	}
	return findings, nil
}

// cut returns the beginning of text that Comprehend takes.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// A doc is a text on its way.
type doc struct {
	text  string // as it is sent; empty if it is not
	notes memory.Notes
	err   error
	done  bool // notes are complete
}

// A run is one Enrich. Its calls share nothing but docs, of which each has its own.
type run struct {
	*Enricher
	docs []doc
}

func (r *run) all(ctx context.Context, sent []int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.languages(ctx, sent); err != nil {
		return err
	}
	if err := r.sentiments(ctx, r.alive(sent)); err != nil {
		return err
	}
	return r.intents(ctx, r.alive(sent))
}

// alive returns those of docs that have not failed.
func (r *run) alive(docs []int) (alive []int) {
	for _, i := range docs {
		if r.docs[i].err == nil {
			alive = append(alive, i)
		}
	}
	return alive
}

// each calls do for each item, some at once, and stops at the first error.
func each[T any](ctx context.Context, limit int, items []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for _, item := range items {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return do(ctx, item)
		})
	}
	return group.Wait()
}

// Policy returns the IAM policy, as JSON, of a role that runs an Enricher with opts: the
// calls of [Client] that it makes. Detection has no resources to name; the classifier
// is its endpoint alone. Options that New does not take are [memory.ErrInvalid].
func Policy(opts *Options) (string, error) {
	if err := opts.Validate(); err != nil {
		return "", fmt.Errorf("policy for comprehend: %w", err)
	}
	type statement struct {
		Sid, Effect      string
		Action, Resource []string
	}
	detect := statement{Sid: "Detect", Effect: "Allow", Action: []string{"comprehend:BatchDetectSentiment"}, Resource: []string{"*"}}
	given := opts.WithDefaults()
	if given.Language == "" {
		detect.Action = append([]string{"comprehend:BatchDetectDominantLanguage"}, detect.Action...)
	}
	statements := []statement{detect}
	if given.Classifier != "" {
		statements = append(statements, statement{Sid: "Classify", Effect: "Allow", Action: []string{"comprehend:ClassifyDocument"}, Resource: []string{given.Classifier}})
	}
	raw, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	return string(raw), err
}
