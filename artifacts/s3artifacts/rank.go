package s3artifacts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
)

const rankSchema = "genaistore/artifacts/rank/v1"

// A rankJSON is the first line of the object of a part; a list of files follows.
type rankJSON struct {
	Schema  string                      `json:"schema"`
	Base    int64                       `json:"base"`
	Kind    artifacts.Kind              `json:"kind"`
	Owner   string                      `json:"owner,omitempty"`
	Lineage artifacts.Lineage           `json:"lineage"`
	Metrics map[string]artifacts.Metric `json:"metrics,omitempty"`
	Tags    map[string]string           `json:"tags,omitempty"`
	With    artifacts.Record            `json:"with"` // its changes
}

func rankKey(opts artifacts.PublishOptions, rank int) string {
	return fmt.Sprintf("%s%d-%d", ranksPrefix(opts.ID), opts.Ranks, rank)
}

func encodePart(one part) ([]byte, error) {
	o := one.opts
	head, err := json.Marshal(rankJSON{rankSchema, one.base, o.Kind, o.Owner, o.Lineage, o.Metrics, o.Tags, artifacts.Record{Changes: o.With}})
	if err != nil {
		return nil, err
	}
	files, err := encodeFiles(one.files)
	return slices.Concat(head, []byte("\n"), files), err
}

func decodePart(text []byte, rank int) (part, error) {
	head, rest, _ := bytes.Cut(text, []byte("\n"))
	if err := checkSchema(head, rankSchema); err != nil {
		return part{}, err
	}
	var in rankJSON
	if err := strict(head, &in); err != nil {
		return part{}, err
	}
	files, err := decodeFiles(rest)
	return part{rank: rank, base: in.Base, files: files, opts: artifacts.PublishOptions{
		Kind: in.Kind, Owner: in.Owner, Lineage: in.Lineage, Metrics: in.Metrics, Tags: in.Tags, With: in.With.Changes,
	}}, err
}

// present returns which ranks have come. Others than of this number of ranks are
// ErrConflict.
func (p *publishing) present(ctx context.Context) ([]int, error) {
	prefix := p.ledger.base + ranksPrefix(p.opts.ID)
	var came []int
	for o, err := range p.list(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		of, number, _ := strings.Cut(strings.TrimPrefix(value(o.Key), prefix), "-")
		ranks, rerr := strconv.Atoi(of)
		rank, nerr := strconv.Atoi(number)
		switch {
		case rerr != nil || nerr != nil || rank < 0 || rank >= ranks:
			return nil, fmt.Errorf("%s: %w: not the key of a part", value(o.Key), artifacts.ErrCorrupt)
		case ranks != p.opts.Ranks:
			return nil, fmt.Errorf("%w: other parts of %.80q are of %d ranks, not %d", artifacts.ErrConflict, p.opts.ID, ranks, p.opts.Ranks)
		}
		came = append(came, rank)
	}
	slices.Sort(came)
	return came, nil
}

// depart writes the part of this rank, in place of one that it wrote before.
func (p *publishing) depart(ctx context.Context, own part) error {
	text, err := encodePart(own)
	if err != nil {
		return err
	}
	_, err = p.put(ctx, p.ledger.base+rankKey(p.opts, own.rank), text, nil)
	return err
}

// arrive writes the part of this rank and reads those of the others, if all have
// come. Whoever comes last sees all of them: S3 lists what was written before.
func (p *publishing) arrive(ctx context.Context) (pending []int, err error) {
	own := p.parts[0]
	if err := p.depart(ctx, own); err != nil {
		return nil, err
	}
	for {
		came, err := p.present(ctx)
		if err != nil {
			return nil, err
		}
		if len(came) < p.opts.Ranks {
			return missing(came, p.opts.Ranks), nil
		}
		p.parts, err = p.collect(ctx, own)
		if !errors.Is(err, artifacts.ErrNotFound) {
			return nil, err
		}
		// A part was removed after it was listed: because its files were collected, or
		// because the version is visible.
		p.parts = []part{own}
		if err := p.refresh(ctx, p.ledger); err != nil {
			return nil, err
		}
		if out, err := p.look(ctx); err != nil || out.Again {
			return nil, err
		}
	}
}

func missing(came []int, ranks int) []int {
	var out []int
	for rank := range ranks {
		if _, is := slices.BinarySearch(came, rank); !is {
			out = append(out, rank)
		}
	}
	return out
}

// collect reads the parts of all other ranks.
func (p *publishing) collect(ctx context.Context, own part) ([]part, error) {
	parts := make([]part, p.opts.Ranks)
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for rank := range parts {
		if rank == own.rank {
			parts[rank] = own
			continue
		}
		g.Go(func() error {
			got, err := p.get(each, p.ledger.base+rankKey(p.opts, rank), "", span{})
			if err != nil {
				return err
			}
			parts[rank], err = decodePart(got.data, rank)
			return err
		})
	}
	return parts, cmp.Or(ctx.Err(), g.Wait())
}

// joined puts the files of all parts together. A path that they disagree about is
// ErrConflict.
func joined(parts []part) ([]file, error) {
	if len(parts) == 1 {
		return parts[0].files, nil
	}
	byPath := map[string]file{}
	for _, one := range parts {
		for _, f := range one.files {
			other, twice := byPath[f.Path]
			if twice && other.Digest != f.Digest {
				return nil, fmt.Errorf("%w: %s of rank %d is not that of another rank", artifacts.ErrConflict, f.Path, one.rank)
			}
			if !twice {
				byPath[f.Path] = f
			}
		}
	}
	if len(byPath) == 0 || len(byPath) > artifacts.MaxFiles {
		return nil, fmt.Errorf("%w: %d files: from 1 to %d in a version", artifacts.ErrInvalid, len(byPath), artifacts.MaxFiles)
	}
	files := make([]file, 0, len(byPath))
	for _, f := range byPath {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.Path, b.Path) })
	_, err := artifacts.NewTree(infos(files), time.Time{}, nil)
	if err = firstError(err, artifacts.Distinct(infos(files))); err != nil {
		// Each part is well formed, so it is their union that is not.
		return nil, fmt.Errorf("%w: parts together: %w", artifacts.ErrConflict, err)
	}
	return files, nil
}
