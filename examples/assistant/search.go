package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/vectors/rag"
)

type searchCommand struct {
	Words  []string `arg:"" optional:"" help:"What to look for."`
	Intent string   `help:"Only what was said with this intent: question, greeting, thanks, complaint, statement."`
	Days   int      `default:"30" help:"How far back to look for an intent."`
	Limit  int      `default:"5" help:"How many results to show."`
}

func (c *searchCommand) run(ctx context.Context, a *assistant) error {
	text := strings.TrimSpace(strings.Join(c.Words, " "))
	if text == "" && c.Intent == "" || c.Limit < 1 || c.Days < 1 {
		return fmt.Errorf("%w: search for words or an --intent, with a --limit and --days of 1 or more", errUsage)
	}
	said, err := c.candidates(ctx, a)
	if err != nil {
		return err
	}
	results := said.order
	if text != "" {
		if results, err = said.rank(ctx, a, text); err != nil {
			return err
		}
	}
	for _, id := range results[:min(c.Limit, len(results))] {
		s := said.byID[id]
		a.printf("%s, %s: %s%s\n", s.session, s.role, shorten(s.text, 160), noteText(s.notes))
	}
	if len(results) == 0 {
		a.printf("nothing found\n")
	}
	return nil
}

// An utterance is one message of a past conversation.
type utterance struct {
	session, role, text string
	notes               memory.Notes
}

// utterances are those that a search looks through, newest first.
type utterances struct {
	byID  map[string]utterance
	order []string
}

func (u *utterances) add(session string, r memory.Record) {
	for i, m := range r.Messages {
		id := fmt.Sprintf("%s/%s/%d", session, r.ID, i)
		u.byID[id] = utterance{session: session, role: m.Role, text: textOf(m), notes: r.Notes}
		u.order = append(u.order, id)
	}
}

func (c *searchCommand) candidates(ctx context.Context, a *assistant) (*utterances, error) {
	found := &utterances{byID: map[string]utterance{}}
	query := memory.Query{Tenant: a.key.Tenant, App: a.key.App, User: a.key.User, Intent: c.Intent}
	if c.Intent != "" {
		query.Since = time.Now().AddDate(0, 0, -c.Days)
	}
	for m, err := range a.stores.Memory.Find(ctx, query) {
		if err != nil {
			return nil, err
		}
		// A match by intent names one record, one without names a session.
		options := &memory.RangeOptions{From: m.Record, To: m.Record, Backward: true, Notes: true}
		for r, err := range a.stores.Memory.Records(ctx, m.Key, options) {
			if err != nil {
				return nil, err
			}
			found.add(m.Key.Session, r)
		}
	}
	return found, nil
}

// rank orders the utterances by how well they fit text, by words and by
// meaning, and leaves out those that fit by neither.
func (u *utterances) rank(ctx context.Context, a *assistant, text string) ([]string, error) {
	words, err := rag.NewBM25(nil)
	if err != nil {
		return nil, err
	}
	for _, id := range u.order {
		if err := words.Add(rag.Document{ID: id, Text: u.byID[id].text}); err != nil {
			return nil, err
		}
	}
	hits := ids(words.Search(text, len(u.order)))
	if len(hits) > 0 {
		return hits, nil
	}
	return u.rankByMeaning(ctx, a, text)
}

// enough is the cosine similarity below which two texts have nothing in common.
const enough = 0.3

func (u *utterances) rankByMeaning(ctx context.Context, a *assistant, text string) ([]string, error) {
	query, err := a.embedder.Query(ctx, text)
	if err != nil {
		return nil, err
	}
	var hits []rag.Hit
	for _, id := range u.order {
		data, err := a.embedder.Documents(ctx, []string{u.byID[id].text})
		if errors.Is(err, memory.ErrInvalid) {
			continue // nothing in it that has a meaning
		}
		if err != nil {
			return nil, err
		}
		if score := dot(query, data[0]); score >= enough {
			hits = append(hits, rag.Hit{ID: id, Score: score})
		}
	}
	return byScore(hits), nil
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func byScore(hits []rag.Hit) []string {
	slices.SortStableFunc(hits, func(a, b rag.Hit) int { return cmp.Compare(b.Score, a.Score) })
	return ids(hits)
}
