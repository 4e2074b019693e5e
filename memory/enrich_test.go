package memory_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

var talk = memory.Key{Tenant: "t", App: "a", User: "u", Session: "talk"}

// speak appends a record of one message and returns its id.
func speak(tb testing.TB, store memory.Store, key memory.Key, role, text string) memory.RecordID {
	tb.Helper()
	r, err := store.Append(tb.Context(), key, memory.Entry{Messages: []memory.Message{memory.Text(role, text)}}, nil)
	require.NoError(tb, err)
	return r.Record.ID
}

func records(tb testing.TB, store memory.Store, key memory.Key) (all []memory.Record) {
	tb.Helper()
	for r, err := range store.Records(tb.Context(), key, &memory.RangeOptions{Notes: true}) {
		require.NoError(tb, err)
		all = append(all, r)
	}
	return all
}

// An interrupted store runs something before each Update, once for each of before, and
// fails those of which the error is not nil.
type interrupted struct {
	memory.Store
	before []func() error
}

func (s *interrupted) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	if len(s.before) > 0 {
		first := s.before[0]
		s.before = s.before[1:]
		if err := first(); err != nil {
			return "", err
		}
	}
	return s.Store.Update(ctx, key, changes...)
}

// A reader counts the texts it is given; it fails on those that hold "fail", and gives
// up on a page with "stop" in it.
type reader struct {
	pages [][]string
}

func (e *reader) Enrich(_ context.Context, texts []string) ([]memory.Finding, error) {
	e.pages = append(e.pages, texts)
	findings := make([]memory.Finding, len(texts))
	var stop error
	for i, text := range texts {
		if strings.Contains(text, "stop") {
			stop = memory.ErrThrottled
		}
		switch {
		case stop != nil:
			findings[i].Err = stop
		case strings.Contains(text, "fail"):
			findings[i].Err = fmt.Errorf("%w: no %q", memory.ErrInvalid, text)
		case strings.Contains(text, "bad"):
			findings[i].Notes.Intent = "\x00"
		case !strings.Contains(text, "nothing"):
			findings[i].Notes = memory.Notes{Intent: strings.ReplaceAll(text, "\n", " "), Model: "reader"}
		}
	}
	return findings, stop
}

func (e *reader) texts() (n int) {
	for _, page := range e.pages {
		n += len(page)
	}
	return n
}

func TestEnrichAnnotatesWhatHasNoNotes(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	for i := range 60 {
		speak(t, store, talk, "user", fmt.Sprint(i))
		speak(t, store, talk, "assistant", "yes")
	}
	noted := records(t, store, talk)[4].ID
	_, err := store.Update(t.Context(), talk, memory.Annotate{Record: noted, Notes: memory.Notes{Intent: "mine"}})
	require.NoError(t, err)
	speak(t, store, talk, "user", " \n")
	speak(t, store, talk, "user", "nothing")

	done, err := memory.Enrich(t.Context(), store, talk, e, &memory.EnrichOptions{Page: 25})
	require.NoError(t, err)
	all := records(t, store, talk)
	require.Equal(t, memory.Enriched{Annotated: 59, Skipped: 63, Next: all[121].ID}, done)
	require.Len(t, e.pages, 3)
	for i := range 60 {
		want := fmt.Sprint(i)
		if i == 2 {
			want = "mine"
		}
		require.Equal(t, want, all[2*i].Notes.Intent)
		require.True(t, all[2*i+1].Notes.IsZero())
	}

	again, err := memory.Enrich(t.Context(), store, talk, e, nil)
	require.NoError(t, err)
	require.Zero(t, again.Annotated)
	require.Equal(t, []string{"nothing"}, e.pages[3], "what has notes is not read again")
	_, err = memory.Enrich(t.Context(), store, talk, e, &memory.EnrichOptions{From: done.Next})
	require.NoError(t, err)
	require.Equal(t, all, records(t, store, talk))
}

func TestEnrichReadsTheTextOfTheRolesAsked(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	_, err := store.Append(t.Context(), talk, memory.Entry{Messages: []memory.Message{
		{Role: "user", Parts: []memory.Part{{Text: "one"}, {Thought: true, Text: "hidden"}, {Text: "two"}, {Blob: &memory.Blob{URI: "x:y"}}}},
		memory.Text("assistant", "answer"), memory.Text("user", "three"),
	}}, nil)
	require.NoError(t, err)
	speak(t, store, talk, "assistant", "more")
	_, err = memory.Enrich(t.Context(), store, talk, e, nil)
	require.NoError(t, err)
	_, err = memory.Enrich(t.Context(), store, talk, e, &memory.EnrichOptions{Roles: []string{"assistant"}})
	require.NoError(t, err)
	require.Equal(t, [][]string{{"one\ntwo\nthree"}, {"more"}}, e.pages)
}

func TestEnrichPagesAreShortWhereTextsAreLong(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	for range 3 {
		speak(t, store, talk, "user", "nothing"+strings.Repeat(" ", 700<<10))
	}
	_, err := memory.Enrich(t.Context(), store, talk, e, nil)
	require.NoError(t, err)
	require.Len(t, e.pages, 2)
}

func TestEnrichGoesOnAfterATextThatFails(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	speak(t, store, talk, "user", "first")
	failed := speak(t, store, talk, "user", "fail")
	bad := speak(t, store, talk, "user", "bad")
	speak(t, store, talk, "user", "last")
	done, err := memory.Enrich(t.Context(), store, talk, e, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.ErrorContains(t, err, "2 records failed")
	require.Equal(t, 2, done.Annotated)
	require.Equal(t, failed, done.Failed[0].Record)
	require.Equal(t, bad, done.Failed[1].Record)
	require.Equal(t, failed, done.Next)
	require.Equal(t, "last", records(t, store, talk)[3].Notes.Intent)

	_, err = store.Update(t.Context(), talk, memory.Edit{Record: failed, Messages: []memory.Message{memory.Text("user", "good")}},
		memory.Redact{Record: bad})
	require.NoError(t, err)
	done, err = memory.Enrich(t.Context(), store, talk, e, &memory.EnrichOptions{From: done.Next})
	require.NoError(t, err)
	require.Equal(t, 1, done.Annotated)
	require.Equal(t, []string{"good"}, e.pages[1], "what was redacted says nothing")
}

func TestEnrichKeepsWhatWasFoundBeforeTheEnricherStopped(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	speak(t, store, talk, "user", "first")
	stop := speak(t, store, talk, "user", "stop")
	speak(t, store, talk, "user", "last")
	done, err := memory.Enrich(t.Context(), store, talk, e, &memory.EnrichOptions{Page: 2})
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.Equal(t, memory.Enriched{Annotated: 1, Next: stop}, done)
	require.Equal(t, 2, e.texts())
}

// A slow reader has something done while it reads, once.
type slow struct {
	reader
	meanwhile func()
}

func (e *slow) Enrich(ctx context.Context, texts []string) ([]memory.Finding, error) {
	if e.meanwhile != nil {
		e.meanwhile()
		e.meanwhile = nil
	}
	return e.reader.Enrich(ctx, texts)
}

func TestEnrichLeavesAloneWhatOthersHaveChanged(t *testing.T) {
	store := &memory.InMemory{}
	var ids []memory.RecordID
	for i := range 60 {
		ids = append(ids, speak(t, store, talk, "user", fmt.Sprint(i)))
	}
	// A person annotates a record of the page that is being read and one of a later
	// page, corrects another, and the last is gone.
	e := &slow{meanwhile: func() {
		_, err := store.Update(t.Context(), talk,
			memory.Annotate{Record: ids[3], Notes: memory.Notes{Intent: "mine"}}, memory.Annotate{Record: ids[30], Notes: memory.Notes{Intent: "mine"}},
			memory.Edit{Record: ids[5], Messages: []memory.Message{memory.Text("user", "corrected")}}, memory.Rewind{To: ids[58]})
		require.NoError(t, err)
	}}
	done, err := memory.Enrich(t.Context(), store, talk, e, &memory.EnrichOptions{Page: 10})
	require.NoError(t, err)
	require.Equal(t, 56, done.Annotated)
	require.Equal(t, 4, done.Skipped)
	for i, r := range records(t, store, talk) {
		want := fmt.Sprint(i)
		switch i {
		case 3, 30:
			want = "mine"
		case 5:
			want = ""
		}
		require.Equal(t, want, r.Notes.Intent)
	}
	done, err = memory.Enrich(t.Context(), store, talk, e, nil)
	require.NoError(t, err)
	require.Equal(t, 1, done.Annotated)
	require.Equal(t, "corrected", records(t, store, talk)[5].Notes.Intent)
}

func TestEnrichWhereARecordGoesInTheMoment(t *testing.T) {
	store := &memory.InMemory{}
	kept := speak(t, store, talk, "user", "kept")
	speak(t, store, talk, "user", "gone")
	s := &interrupted{Store: store, before: []func() error{func() error {
		_, err := store.Update(t.Context(), talk, memory.Rewind{To: kept})
		return err
	}}}
	done, err := memory.Enrich(t.Context(), s, talk, &reader{}, nil)
	require.NoError(t, err)
	require.Equal(t, 1, done.Annotated)
	require.Equal(t, 1, done.Skipped)
}

func TestEnrichDoesNotDisturbAnAgentThatExpectsAVersion(t *testing.T) {
	store := &memory.InMemory{}
	speak(t, store, talk, "user", "hello")
	before, err := store.Open(t.Context(), talk, nil)
	require.NoError(t, err)
	_, err = memory.Enrich(t.Context(), store, talk, &reader{}, nil)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), talk, memory.Entry{}, &memory.AppendOptions{IfVersion: before.Head.Version})
	require.NoError(t, err)
}

// racing yields records as they were when the loop began, and has another process
// annotate one right after.
type racing struct {
	memory.Store
	once func()
}

func (s *racing) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	return func(yield func(memory.Record, error) bool) {
		all := s.Store.Records(ctx, key, opts)
		var read []memory.Record
		for r := range all {
			read = append(read, r)
		}
		if s.once != nil {
			s.once()
			s.once = nil
		}
		for _, r := range read {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestEnrichSeesNotesWrittenAfterItHasRead(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	id := speak(t, store, talk, "user", "hello")
	s := &racing{store, func() {
		_, err := store.Update(t.Context(), talk, memory.Annotate{Record: id, Notes: memory.Notes{Intent: "mine"}})
		require.NoError(t, err)
	}}
	_, err := memory.Enrich(t.Context(), s, talk, e, nil)
	require.NoError(t, err)
	require.Equal(t, "mine", records(t, store, talk)[0].Notes.Intent)
}

func TestEnrichIsRepeatedAfterAnErrorOfTheStore(t *testing.T) {
	store, e := &memory.InMemory{}, &reader{}
	var ids []memory.RecordID
	for i := range 60 {
		ids = append(ids, speak(t, store, talk, "user", fmt.Sprint(i)))
	}
	broken := errors.New("broken")
	s := &interrupted{Store: store, before: []func() error{func() error { return nil }, func() error { return broken }}}
	done, err := memory.Enrich(t.Context(), s, talk, e, nil)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 25, done.Annotated)
	require.Equal(t, ids[0], done.Next)
	done, err = memory.Enrich(t.Context(), s, talk, e, &memory.EnrichOptions{From: done.Next})
	require.NoError(t, err)
	require.Equal(t, 35, done.Annotated)
	require.Equal(t, 25, done.Skipped)
}

// A tally counts calls.
type tally struct {
	memory.Store
	opens, reads, updates int
}

func (s *tally) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	s.opens++
	return s.Store.Open(ctx, key, opts)
}

func (s *tally) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	s.reads++
	return s.Store.Records(ctx, key, opts)
}

func (s *tally) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	s.updates++
	return s.Store.Update(ctx, key, changes...)
}

func TestWhatEnrichCosts(t *testing.T) {
	store := &tally{Store: &memory.InMemory{}}
	for i := range 60 {
		speak(t, store, talk, "user", fmt.Sprint(i))
	}
	_, err := memory.Enrich(t.Context(), store, talk, &reader{}, &memory.EnrichOptions{Page: 48})
	require.NoError(t, err)
	require.Equal(t, []int{1, 4, 3}, []int{store.opens, store.reads, store.updates})
}

func TestEnrichGivesUpWhereRecordsGoAgainAndAgain(t *testing.T) {
	store := &memory.InMemory{}
	speak(t, store, talk, "user", "hello")
	s := &interrupted{Store: store}
	for range 20 {
		s.before = append(s.before, func() error { return memory.ErrNotFound })
	}
	_, err := memory.Enrich(t.Context(), s, talk, &reader{}, nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
	require.Len(t, s.before, 12)
	s.before = s.before[:3]
	_, err = memory.Enrich(t.Context(), s, talk, &reader{}, nil)
	require.NoError(t, err)
}

func TestEnrichRefusesWhatItCannotDo(t *testing.T) {
	store := &memory.InMemory{}
	_, err := memory.Enrich(t.Context(), store, talk, memory.Lexicon{}, nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
	_, err = memory.Enrich(t.Context(), store, talk.Owner(), memory.Lexicon{}, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = memory.Enrich(t.Context(), store, talk, memory.Lexicon{}, &memory.EnrichOptions{Page: -1})
	require.ErrorIs(t, err, memory.ErrInvalid)
	speak(t, store, talk, "user", "hello")
	_, err = memory.Enrich(t.Context(), store, talk, short{}, nil)
	require.ErrorIs(t, err, memory.ErrCorrupt)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = memory.Enrich(ctx, store, talk, memory.Lexicon{}, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = memory.Lexicon{}.Enrich(ctx, []string{"hello"})
	require.ErrorIs(t, err, context.Canceled)
}

// short is an Enricher that breaks its promise.
type short struct{}

func (short) Enrich(context.Context, []string) ([]memory.Finding, error) { return nil, nil }

func TestLexicon(t *testing.T) {
	tests := []struct {
		text, intent, language string
		sentiment              *float64
	}{
		{"Where is my parcel?", "question", "en", new(0.0)},
		{"tell me about the tides", "question", "en", new(0.0)},
		{"Good morning", "statement", "en", new(1.0)},
		{"Hello there", "greeting", "en", new(0.0)},
		{"Thanks, that was great", "thanks", "en", new(1.0)},
		{"The last answer was wrong and useless", "complaint", "en", new(-1.0)},
		{"This isn't good", "complaint", "en", new(-1.0)},
		{"It isn’t bad", "statement", "en", new(1.0)},
		{"The good and the bad", "statement", "en", new(0.0)},
		{"Wo ist die Rechnung für das Paket?", "question", "de", nil},
		{"Je suis dans le train", "statement", "fr", nil},
		{"¿Dónde está el paquete?", "question", "es", nil},
		{"荷物はどこですか？", "question", "ja", nil},
		{"包裹在哪里？", "question", "zh", nil},
		{"소포", "statement", "ko", nil},
		{"Где посылка?", "question", "ru", nil},
		{"أين الطرد؟", "question", "ar", nil},
		{"पैकेट कहाँ है?", "question", "hi", nil},
		{"Xyzzy", "statement", "und", nil},
		{"?!", "statement", "und", nil},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			findings, err := memory.Lexicon{}.Enrich(t.Context(), []string{tt.text})
			require.NoError(t, err)
			n := findings[0].Notes
			require.NoError(t, n.Validate())
			require.Equal(t, memory.Notes{Intent: tt.intent, Language: tt.language, Sentiment: tt.sentiment, Model: "lexicon:1"}, n)
			require.Contains(t, memory.LexiconIntents(), n.Intent)
		})
	}
	findings, err := memory.Lexicon{}.Enrich(t.Context(), []string{" \t"})
	require.NoError(t, err)
	require.True(t, findings[0].Notes.IsZero())
}
