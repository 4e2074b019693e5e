package comprehend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/comprehend"
	"github.com/aws/aws-sdk-go-v2/service/comprehend/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/meter"
)

// languages finds the languages of docs.
func (r *run) languages(ctx context.Context, docs []int) error {
	if r.opts.Language != "" {
		for _, i := range docs {
			r.docs[i].notes.Language = r.opts.Language
		}
		return nil
	}
	detect := func(ctx context.Context, texts []string) (answers, error) {
		out, err := r.client.BatchDetectDominantLanguage(ctx, &comprehend.BatchDetectDominantLanguageInput{TextList: texts})
		if err != nil {
			return answers{}, err
		}
		a := answers{failed: out.ErrorList}
		for _, result := range out.ResultList {
			a.add(result.Index, func(d *doc) error { return d.setLanguage(result.Languages) })
		}
		return a, nil
	}
	return each(ctx, r.opts.Concurrency, slices.Collect(slices.Chunk(docs, maxBatch)), func(ctx context.Context, batch []int) error {
		return r.batch(ctx, batch, detect)
	})
}

func (d *doc) setLanguage(found []types.DominantLanguage) error {
	best := float32(-1)
	for _, l := range found {
		if l.LanguageCode != nil && value(l.Score) > best {
			best, d.notes.Language = value(l.Score), *l.LanguageCode
		}
	}
	if best < 0 {
		return fmt.Errorf("%w: an answer without a language", fault.Corrupt)
	}
	return nil
}

// sentiments finds the sentiments of docs, in batches of one language.
func (r *run) sentiments(ctx context.Context, docs []int) error {
	byLanguage := map[string][]int{}
	for _, i := range docs {
		if tag := r.docs[i].notes.Language; hasSentiment(tag) {
			byLanguage[tag] = append(byLanguage[tag], i)
		} else {
			r.docs[i].done = r.opts.Classifier == ""
		}
	}
	var batches [][]int
	for _, tag := range slices.Sorted(maps.Keys(byLanguage)) {
		batches = slices.AppendSeq(batches, slices.Chunk(byLanguage[tag], maxBatch))
	}
	return each(ctx, r.opts.Concurrency, batches, func(ctx context.Context, batch []int) error {
		language := types.LanguageCode(r.docs[batch[0]].notes.Language)
		err := r.batch(ctx, batch, func(ctx context.Context, texts []string) (answers, error) {
			return r.sentiment(ctx, language, texts)
		})
		for _, i := range batch {
			r.docs[i].done = err == nil && r.opts.Classifier == ""
		}
		return err
	})
}

func (r *run) sentiment(ctx context.Context, language types.LanguageCode, texts []string) (answers, error) {
	out, err := r.client.BatchDetectSentiment(ctx, &comprehend.BatchDetectSentimentInput{LanguageCode: language, TextList: texts})
	if code(err) == "UnsupportedLanguageException" {
		return answers{unsupported: true}, nil
	}
	if err != nil {
		return answers{}, err
	}
	a := answers{failed: out.ErrorList}
	for _, result := range out.ResultList {
		a.add(result.Index, func(d *doc) error { return d.setSentiment(result.SentimentScore) })
	}
	return a, nil
}

func (d *doc) setSentiment(score *types.SentimentScore) error {
	if score == nil || score.Positive == nil || score.Negative == nil {
		return fmt.Errorf("%w: an answer without scores", fault.Corrupt)
	}
	s := float64(*score.Positive) - float64(*score.Negative)
	if math.IsNaN(s) || s < -1.001 || s > 1.001 {
		return fmt.Errorf("%w: a sentiment of %v", fault.Corrupt, s)
	}
	d.notes.Sentiment = new(min(1, max(-1, s))) // scores are rounded
	return nil
}

// intents finds the intents of docs.
func (r *run) intents(ctx context.Context, docs []int) error {
	if r.opts.Classifier == "" {
		return nil
	}
	return each(ctx, r.opts.Concurrency, docs, func(ctx context.Context, i int) error {
		d := &r.docs[i]
		out, err := r.client.ClassifyDocument(ctx, &comprehend.ClassifyDocumentInput{EndpointArn: &r.opts.Classifier, Text: &d.text})
		if err != nil {
			err, d.err = blame(err)
			return err
		}
		meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(len(d.text))})
		d.notes.Intent = intent(out, r.opts.MinScore)
		d.done = true
		return nil
	})
}

// intent returns the best class, or label of a classifier of several, if it is good
// enough.
func intent(out *comprehend.ClassifyDocumentOutput, least float64) (name string) {
	best := float32(least)
	consider := func(class *string, score *float32) {
		if class != nil && score != nil && *score >= best && (name == "" || *score > best) {
			name, best = *class, *score
		}
	}
	for _, c := range out.Classes {
		consider(c.Name, c.Score)
	}
	for _, l := range out.Labels {
		consider(l.Name, l.Score)
	}
	return name
}

// answers are what a call for several texts returned, by their index.
type answers struct {
	found       map[int32]func(*doc) error
	failed      []types.BatchItemError
	unsupported bool // the language, for all of them
}

func (a *answers) add(index *int32, set func(*doc) error) {
	if a.found == nil {
		a.found = map[int32]func(*doc) error{}
	}
	at := int32(-1)
	if index != nil {
		at = *index
	}
	a.found[at] = set
}

type detector func(ctx context.Context, texts []string) (answers, error)

// batch sends docs, and those it failed on once more by themselves. It leaves what
// became of each in the doc; an error is one that meets others too.
func (r *run) batch(ctx context.Context, docs []int, detect detector) error {
	again, err := r.send(ctx, docs, detect)
	if err != nil {
		return err
	}
	for try := range r.opts.Retries {
		if len(again) == 0 {
			return nil
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
		var still []int
		for _, i := range again {
			r.docs[i].err = nil
			failed, err := r.send(ctx, []int{i}, detect)
			if err != nil {
				return err
			}
			still = append(still, failed...)
		}
		again = still
	}
	return nil
}

// send makes one call and returns the docs that are worth another one.
func (r *run) send(ctx context.Context, docs []int, detect detector) (again []int, err error) {
	texts := make([]string, len(docs))
	size := 0
	for k, i := range docs {
		texts[k] = r.docs[i].text
		size += len(texts[k])
	}
	a, err := detect(ctx, texts)
	if err != nil {
		stop, own := blame(err)
		for _, i := range docs {
			r.docs[i].err = own
		}
		if own != nil && len(docs) > 1 {
			return docs, nil // one of them is wrong: which?
		}
		return nil, stop
	}
	meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(size)})
	if a.unsupported {
		return nil, nil
	}
	return r.take(docs, a), nil
}

// take puts answers into their docs and returns those that are worth another call.
func (r *run) take(docs []int, a answers) (again []int) {
	failed := map[int32]types.BatchItemError{}
	for _, f := range a.failed {
		if f.Index != nil {
			failed[*f.Index] = f
		}
	}
	for k, i := range docs {
		d := &r.docs[i]
		set, ok := a.found[int32(k)]
		if ok {
			d.err = set(d)
			continue
		}
		f, ok := failed[int32(k)]
		if !ok {
			d.err = fmt.Errorf("%w: Comprehend did not answer for the text", fault.Corrupt)
			again = append(again, i)
			continue
		}
		d.err = fmt.Errorf("%w: %s: %s", itemKind(value(f.ErrorCode)), value(f.ErrorCode), value(f.ErrorMessage))
		if errors.Is(d.err, fault.Throttled) {
			again = append(again, i)
		}
	}
	return again
}

// itemKind sorts the codes of ErrorList: what does not say that the text is at fault
// may pass.
func itemKind(item string) error {
	item = strings.ReplaceAll(strings.ToUpper(item), "_", "")
	for _, fatal := range []string{"TEXTSIZE", "INVALID", "UNSUPPORTED"} {
		if strings.Contains(item, fatal) {
			return fault.Invalid
		}
	}
	return fault.Throttled
}

// pause waits a little longer each time, with half of it left to chance.
func pause(ctx context.Context, try int) error {
	whole := min(5*time.Second, 200*time.Millisecond<<try)
	timer := time.NewTimer(whole/2 + rand.N(whole/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hasSentiment reports whether Comprehend finds sentiment in a language.
func hasSentiment(language string) bool {
	return slices.Contains(types.LanguageCode("").Values(), types.LanguageCode(language))
}

// blame returns err classified: as one that meets other texts too, or as one of the
// text's own. The code tells: the SDK has a type only for those in an operation's model.
func blame(err error) (all, own error) {
	switch code(err) {
	case "InvalidRequestException", "TextSizeLimitExceededException", "BatchSizeLimitExceededException", "UnsupportedLanguageException",
		"ValidationException":
		return nil, fmt.Errorf("%w: %w", fault.Invalid, err)
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "InternalServerException",
		"InternalFailure", "ServiceUnavailable", "ServiceUnavailableException":
		return fmt.Errorf("%w: %w", fault.Throttled, err), nil
	case "ResourceNotFoundException", "ResourceUnavailableException": // the second of an endpoint, by the documentation
		return fmt.Errorf("%w: %w", fault.NotFound, err), nil
	case "AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "OptInRequired":
		return fmt.Errorf("%w: %w", fault.Denied, err), nil
	}
	return err, nil
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// value is what p points to, or nothing.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
