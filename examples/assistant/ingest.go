package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/schollz/progressbar/v3"

	"github.com/genaistore/genaistore/vectors"
)

type ingestCommand struct {
	Paths []string `arg:"" name:"path" help:"Files, or folders with documents in them."`
}

func (c *ingestCommand) run(ctx context.Context, a *assistant) error {
	passages, skipped, err := readDocuments(c.Paths)
	if err != nil {
		return err
	}
	done, err := a.ingest(ctx, passages)
	if err != nil {
		return err
	}
	a.printf("%d passages from %d documents: %d new or changed, %d unchanged, %d gone",
		len(passages), done.sources, done.written, len(passages)-done.written, done.removed)
	if skipped > 0 {
		a.printf("; %d other files left out", skipped)
	}
	a.printf("\n")
	a.changed = true
	return nil
}

// An ingestion is what ingest did.
type ingestion struct{ sources, written, removed int }

// ingest makes the index hold exactly these passages of their sources: those
// that it has already are not embedded again, those that are gone are removed,
// last of all, so that a reader finds the old passages or the new ones. A
// repeat after an error goes on where it stopped.
func (a *assistant) ingest(ctx context.Context, passages []passage) (ingestion, error) {
	bySource := map[string][]passage{}
	for _, p := range passages {
		bySource[p.source] = append(bySource[p.source], p)
	}
	done := ingestion{sources: len(bySource)}
	var fresh []passage
	var gone []string
	for source, wanted := range bySource {
		stored, err := a.stored(ctx, source)
		if err != nil {
			return done, err
		}
		for _, p := range wanted {
			if stored[p.key] != p.hash {
				fresh = append(fresh, p)
			}
			delete(stored, p.key)
		}
		for key := range stored {
			gone = append(gone, key)
		}
	}
	if err := a.put(ctx, fresh); err != nil {
		return done, err
	}
	done.written, done.removed = len(fresh), len(gone)
	if len(gone) == 0 {
		return done, nil
	}
	_, err := a.stores.Vectors.Delete(ctx, vectors.Selection{Keys: gone}, nil)
	return done, err
}

// stored returns the hashes of the passages of source in the index, by key.
func (a *assistant) stored(ctx context.Context, source string) (map[string]string, error) {
	hashes := map[string]string{}
	for v, err := range a.stores.Vectors.List(ctx, &vectors.ListOptions{Filter: vectors.Equal(metaSource, source)}) {
		if err != nil {
			return nil, err
		}
		hashes[v.Key], _ = v.Metadata[metaHash].(string)
	}
	return hashes, nil
}

// batch is how many texts are embedded at a time: the most that one call to a
// Bedrock model takes.
const batch = 96

// put embeds and stores passages a batch at a time, as a stream.
func (a *assistant) put(ctx context.Context, passages []passage) error {
	done := a.progress(len(passages))
	report, err := a.stores.Vectors.Put(ctx, func(yield func(vectors.Vector, error) bool) {
		for part := range slices.Chunk(passages, batch) {
			if !a.embed(ctx, part, yield) {
				return
			}
			done(len(part))
		}
	}, nil)
	for _, r := range report.Rejected {
		return fmt.Errorf("passage %s: %w", r.Key, r.Err)
	}
	return err
}

// embed yields the vectors of passages, until yield returns false.
func (a *assistant) embed(ctx context.Context, passages []passage, yield func(vectors.Vector, error) bool) bool {
	texts := make([]string, len(passages))
	for i, p := range passages {
		texts[i] = p.content()
	}
	data, err := a.embedder.Documents(ctx, texts)
	if err != nil {
		yield(vectors.Vector{}, err)
		return false
	}
	for i, p := range passages {
		if !yield(p.vector(data[i]), nil) {
			return false
		}
	}
	return true
}

func (p passage) vector(data []float32) vectors.Vector {
	return vectors.Vector{Key: p.key, Data: data, Metadata: vectors.Metadata{
		metaSource: p.source, metaTitle: p.title, metaText: p.text, metaHash: p.hash,
	}}
}

// progress returns a function that shows how many of total are done, where
// somebody watches.
func (a *assistant) progress(total int) func(n int) {
	f, ok := a.err.(*os.File)
	if !ok || total == 0 {
		return func(int) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int) {}
	}
	bar := progressbar.NewOptions(total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("embedding"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("passages"), progressbar.OptionClearOnFinish())
	return func(n int) { _ = bar.Add(n) }
}
